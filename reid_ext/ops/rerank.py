"""k-reciprocal re-ranking: distances that depend on the neighbours two images share.

Source: Zhong et al. 2017, "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, computed, flag, integer, number
from reid_ext._runtime.kernels import code_of, kernel
from reid_ext.ops._autograd import no_gradient
from reid_ext.ops._contract import METRICS, fake


class Nearest(NamedTuple):
    """The k nearest keys of every row, nearest first.

    Attributes:
        distances: Distances of shape (N, k).
        indices: Indices of the keys, int64 of shape (N, k).

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> found = ops.nearest(torch.tensor([[0.0], [1.0], [4.0]]), count=2, metric="euclidean")
        >>> found.indices  # every row is its own nearest key
        tensor([[0, 1],
                [1, 0],
                [2, 1]])
    """

    distances: Tensor
    indices: Tensor


class SparseRows(NamedTuple):
    """A sparse matrix in CSR format.

    Attributes:
        offsets: int64 of shape (N + 1,). The entries of row i are at positions ``offsets[i]`` to
            ``offsets[i + 1] - 1`` of ``indices`` and ``values``.
        indices: Columns of the entries, int64 of shape (L,), ascending within a row.
        values: The entries, of shape (L,).

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> rows = ops.jaccard(torch.tensor([[0.0], [1.0], [10.0], [11.0]]), k1=1, k2=1)
        >>> rows.indices[rows.offsets[2] : rows.offsets[3]]  # columns of the entries in row 2
        tensor([2, 3])
    """

    offsets: Tensor
    indices: Tensor
    values: Tensor


def k_reciprocal(
    query: Tensor,
    gallery: Tensor,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    metric: str = "squared_euclidean",
) -> Tensor:
    """Return re-ranked distances: ``(1 - lambda_value) * jaccard + lambda_value * original``.

    ``jaccard`` is the Jaccard distance between the weighted sets of k-reciprocal neighbours.
    ``original`` is the square of the metric's distance, divided by the largest such square between
    the query and any image, query or gallery. The released code squares in the same way, so
    ``"squared_euclidean"`` uses the fourth power of the Euclidean distance.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16, finite.
        gallery: Features of shape (G, D), same dtype and device.
        k1: Number of neighbours of an image, not counting the image itself, from 1 to Q + G - 1.
            Default: 20.
        k2: Number of nearest images, counting the image itself, over which the weights are
            averaged. Default: 6. With 1 there is no averaging.
        lambda_value: Weight of the original distance, in [0, 1]. Default: 0.3.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.
            Default: ``"squared_euclidean"``.

    Returns:
        Distances of shape (Q, G) in [0, 1], float32 for half inputs. The result is not
        differentiable. Neighbours at equal distances are ordered by index, queries first. Memory
        besides the result is O(Q + G); no matrix over all pairs of images is stored.

    Raises:
        ArgumentError: a shape, dtype, device, metric or number is invalid. The values of the
            features are not checked.

    Source:
        Zhong et al. 2017, "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> query, gallery = torch.tensor([[0.0]]), torch.tensor([[3.0], [1.0], [2.0]])
        >>> distances = ops.k_reciprocal(query, gallery, k1=1, k2=1)
        >>> distances.argsort(dim=1)
        tensor([[1, 2, 0]])
    """
    return _k_reciprocal(
        *read_problem("k_reciprocal", query, gallery),
        *read_settings("k_reciprocal", k1, k2, lambda_value),
        code_of("k_reciprocal", "metric", metric, METRICS),
    )


def k_reciprocal_nearest(
    query: Tensor,
    gallery: Tensor,
    count: int,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    metric: str = "squared_euclidean",
) -> Nearest:
    """Return the ``count`` smallest distances of each row of :func:`k_reciprocal`.

    The (Q, G) matrix of distances is not stored.

    Args:
        query: As in :func:`k_reciprocal`.
        gallery: As in :func:`k_reciprocal`.
        count: Number of gallery images per query, from 1 to G.
        k1: As in :func:`k_reciprocal`.
        k2: As in :func:`k_reciprocal`.
        lambda_value: As in :func:`k_reciprocal`.
        metric: As in :func:`k_reciprocal`.

    Returns:
        :class:`Nearest` of shape (Q, count), with equal distances ordered by gallery index. Memory
        besides the result is O(Q + G) plus a block of at most 64 MiB or one row of the matrix.

    Raises:
        ArgumentError: as in :func:`k_reciprocal`, or ``count`` is out of range.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> query, gallery = torch.tensor([[0.0]]), torch.tensor([[3.0], [1.0], [2.0]])
        >>> ops.k_reciprocal_nearest(query, gallery, count=2, k1=1, k2=1).indices
        tensor([[1, 2]])
    """
    function = "k_reciprocal_nearest"
    return Nearest(
        *_k_reciprocal_nearest(
            *read_problem(function, query, gallery),
            *read_settings(function, k1, k2, lambda_value),
            code_of(function, "metric", metric, METRICS),
            integer(function, "count", count),
        )
    )


def k_reciprocal_from_distances(
    query_gallery: Tensor,
    query_query: Tensor,
    gallery_gallery: Tensor,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> Tensor:
    """Return the distances of :func:`k_reciprocal`, given the distances between all images.

    The function squares the given distances, as the released code does. The matrices
    ``query_query`` and ``gallery_gallery`` do not have to be symmetric: the distances from image i
    are read from column i.

    Args:
        query_gallery: Distances of shape (Q, G), float32, float64, bfloat16 or float16, finite.
        query_query: Distances of shape (Q, Q), same dtype and device.
        gallery_gallery: Distances of shape (G, G), same dtype and device.
        k1: As in :func:`k_reciprocal`. Values above Q + G - 1 mean all other images.
        k2: As in :func:`k_reciprocal`.
        lambda_value: As in :func:`k_reciprocal`.

    Returns:
        Distances of shape (Q, G), as in :func:`k_reciprocal`. For a query at distance 0 from every
        image, ``original`` is 0.

    Raises:
        ArgumentError: as in :func:`k_reciprocal`.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> query, gallery = torch.tensor([[0.0]]), torch.tensor([[3.0], [1.0], [2.0]])
        >>> distances = ops.k_reciprocal_from_distances(
        ...     torch.cdist(query, gallery), torch.cdist(query, query),
        ...     torch.cdist(gallery, gallery), k1=1, k2=1,
        ... )
        >>> distances.argsort(dim=1)
        tensor([[1, 2, 0]])
    """
    function = "k_reciprocal_from_distances"
    return _k_reciprocal_from_distances(
        computed(function, "query_gallery", query_gallery),
        computed(function, "query_query", query_query),
        computed(function, "gallery_gallery", gallery_gallery),
        *read_settings(function, k1, k2, lambda_value),
    )


def jaccard(
    x: Tensor, *, k1: int, k2: int, clustering: bool = False, max_distance: float = 1.0
) -> SparseRows:
    """Return the Jaccard distances between all pairs of images that share a neighbour.

    Args:
        x: Features of shape (N, D), float32, float64, bfloat16 or float16, finite.
        k1: As in :func:`k_reciprocal`, with squared Euclidean distances.
        k2: As in :func:`k_reciprocal`.
        clustering: Follow the released code of unsupervised re-identification. There ``k1`` counts
            the image itself and may be up to N. The weight of a neighbour depends on the distance
            itself, which is neither squared again nor divided by the largest distance of the row.
            Default: False.
        max_distance: Leave out pairs at a larger Jaccard distance. A number in [0, 1].
            Default: 1.

    Returns:
        :class:`SparseRows`, a symmetric matrix of distances in [0, 1]. A missing pair has a
        distance of 1, or one larger than ``max_distance``. Memory besides the result is O(N).

    Raises:
        ArgumentError: a shape, dtype or number is invalid.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
        >>> ops.jaccard(x, k1=1, k2=1).indices.view(4, 2)  # columns of the pairs in each row
        tensor([[0, 1],
                [0, 1],
                [2, 3],
                [2, 3]])
    """
    x = computed("jaccard", "x", x)
    if x.is_meta:  # the number of entries depends on the values
        raise ArgumentError("jaccard", "x", "be a tensor with values", "a meta tensor")
    return SparseRows(
        *_jaccard(
            x,
            integer("jaccard", "k1", k1),
            integer("jaccard", "k2", k2),
            flag("jaccard", "clustering", clustering),
            number("jaccard", "max_distance", max_distance),
        )
    )


def nearest(
    x: Tensor, count: int, *, keys: Tensor | None = None, metric: str = "cosine"
) -> Nearest:
    """Return the nearest keys of every row, without the matrix of distances.

    Args:
        x: Features of shape (N, D), float32, float64, bfloat16 or float16, finite.
        count: Number of keys per row, from 1 to the number of keys.
        keys: Features of shape (M, D) that the rows are compared with, same dtype and device.
            Default: None (the rows are compared with each other, and each row with itself).
        metric: ``"cosine"`` (1 - cos), ``"euclidean"`` or ``"squared_euclidean"``.
            Default: ``"cosine"``.

    Returns:
        :class:`Nearest` of shape (N, count), with equal distances ordered by index. The result is
        not differentiable. Distances are computed from matrix products, so their error is about
        the rounding error of |x|^2, also for the distance of a row to itself. Keys whose distances
        differ by less may be swapped.

    Raises:
        ArgumentError: a shape, dtype, device, metric or count is invalid.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> x, keys = torch.tensor([[0.0]]), torch.tensor([[3.0], [1.0], [2.0]])
        >>> ops.nearest(x, count=2, keys=keys, metric="euclidean")
        Nearest(distances=tensor([[1., 2.]]), indices=tensor([[1, 2]]))
    """
    return Nearest(
        *_nearest(
            computed("nearest", "x", x),
            None if keys is None else computed("nearest", "keys", keys),
            integer("nearest", "count", count),
            code_of("nearest", "metric", metric, METRICS),
        )
    )


def read_problem(function: str, query: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
    """Read the features of the queries and of the gallery."""
    return computed(function, "query", query), computed(function, "gallery", gallery)


def read_settings(function: str, k1: int, k2: int, lambda_value: float) -> tuple[int, int, float]:
    """Read the numbers of k-reciprocal re-ranking. The kernels check their ranges."""
    return (
        integer(function, "k1", k1),
        integer(function, "k2", k2),
        number(function, "lambda_value", lambda_value),
    )


_k_reciprocal = kernel("k_reciprocal")
_k_reciprocal_nearest = kernel("k_reciprocal_nearest")
_k_reciprocal_from_distances = kernel("k_reciprocal_from_distances")
_jaccard = kernel("jaccard")
_nearest = kernel("nearest")


def _nearest_like(x, count):
    return x.new_empty(x.shape[0], count), x.new_empty(x.shape[0], count, dtype=torch.int64)


@fake("k_reciprocal")
def _(query, gallery, k1, k2, lambda_value, metric):
    return query.new_empty(query.shape[0], gallery.shape[0])


@fake("k_reciprocal_nearest")
def _(query, gallery, k1, k2, lambda_value, metric, count):
    return _nearest_like(query, count)


@fake("k_reciprocal_from_distances")
def _(query_gallery, query_query, gallery_gallery, k1, k2, lambda_value):
    return query_gallery.new_empty(query_gallery.shape)


@fake("jaccard")
def _(x, k1, k2, clustering, max_distance):
    entries = torch.library.get_ctx().new_dynamic_size()
    offsets = x.new_empty(x.shape[0] + 1, dtype=torch.int64)
    return offsets, x.new_empty(entries, dtype=torch.int64), x.new_empty(entries)


@fake("nearest")
def _(x, keys, count, metric):
    return _nearest_like(x, count)


_OPS = (
    "k_reciprocal",
    "k_reciprocal_nearest",
    "k_reciprocal_from_distances",
    "jaccard",
    "nearest",
)
for _op in _OPS:
    no_gradient(_op)
    for _device in ("cuda", "cpu"):
        torch.library.register_autocast(f"reid_ext::{_op}", _device, torch.float32)
