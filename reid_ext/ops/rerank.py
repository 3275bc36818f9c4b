"""k-reciprocal re-ranking: distances of a gallery to queries by the neighbours they share.

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
    """The k nearest keys of every row, nearest first: both of shape (N, k), ``indices`` int64."""

    distances: Tensor
    indices: Tensor


class SparseRows(NamedTuple):
    """A matrix with few entries (CSR): of row i those from ``offsets[i]`` to ``offsets[i + 1]``.

    ``offsets`` (N + 1,) and ``indices`` (L,), the columns, ascending within a row, are int64;
    ``values`` (L,) are the entries.
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
    """Return re-ranked distances: ``(1 - lambda_value) * Jaccard + lambda_value * original``.

    "original" is the squared distance over the largest squared distance of the query to any image,
    query or gallery; "Jaccard" compares the weighted sets of k-reciprocal neighbours. As in the
    released code the metric's distance is squared, so that of ``"squared_euclidean"`` twice.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16, finite.
        gallery: Features of shape (G, D), same dtype and device.
        k1: Neighbours of an image that count besides itself, from 1 to Q + G - 1.
        k2: Nearest images, itself included, over which weights are averaged; 1: none is.
        lambda_value: Weight of the original distance, in [0, 1].
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.

    Returns:
        Distances of shape (Q, G) in [0, 1], float32 for half inputs. Not differentiable. Images at
        equal distances are neighbours by index, queries first. Memory besides the result is
        O(Q + G), never a matrix over all pairs of images.

    Raises:
        ArgumentError: a shape, dtype, device, metric or number is invalid. Whether features are
            finite is not checked.
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
    """Return the ``count`` smallest of each row of :func:`k_reciprocal`, without its (Q, G) matrix.

    Args:
        count: Gallery images per query, from 1 to G.

    Returns:
        :class:`Nearest` of shape (Q, count); equal distances by gallery index. Memory besides it
        is O(Q + G) and a block of at most 64 MiB, or one row of the matrix.

    The other arguments and the errors are those of :func:`k_reciprocal`.
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
    """Return the same from given distances, which are squared as in the released code.

    Args:
        query_gallery: Distances of shape (Q, G), float32, float64, bfloat16 or float16, finite.
        query_query: Shape (Q, Q), same dtype and device.
        gallery_gallery: Shape (G, G), same dtype and device. Neither need be symmetric: of image i
            column i counts.
        k1: As in :func:`k_reciprocal`; Q + G - 1 and more mean all.

    Returns:
        As :func:`k_reciprocal`. A query at distance 0 of every image has originals of 0.

    Raises:
        ArgumentError: as :func:`k_reciprocal`.
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
    """Return the Jaccard distances between all images that share a weighted neighbour.

    Args:
        x: Features of shape (N, D), float32, float64, bfloat16 or float16, finite.
        k1: As in :func:`k_reciprocal`, with squared Euclidean distances.
        k2: As in :func:`k_reciprocal`.
        clustering: As the released code of unsupervised re-identification computes them: ``k1``
            (up to N) counts the image itself, and a neighbour's weight falls with the distance as
            it is, neither squared again nor over the largest of the row.
        max_distance: Leave out pairs farther apart, in [0, 1].

    Returns:
        :class:`SparseRows` of distances in [0, 1]; a pair that is not there has distance 1, or
        more than ``max_distance``. Symmetric. Memory besides is O(N).

    Raises:
        ArgumentError: a shape, dtype or number is invalid.
    """
    x = computed("jaccard", "x", x)
    if x.is_meta:  # how many entries there are depends on the values
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
        count: Keys per row, from 1 to their number.
        keys: What rows are compared with, (M, D), same dtype and device. None: the rows
            themselves, each of which is then among its own neighbours.
        metric: ``"cosine"`` (1 - cos), ``"euclidean"`` or ``"squared_euclidean"``.

    Returns:
        :class:`Nearest` of shape (N, count); equal distances by index. Not differentiable. Made of
        products: distances are exact to the rounding of |x|^2, that to itself included, and keys
        whose distances differ by less than that may be swapped.

    Raises:
        ArgumentError: a shape, dtype, device, metric or count is invalid.
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
    """The features of queries and gallery."""
    return computed(function, "query", query), computed(function, "gallery", gallery)


def read_settings(function: str, k1: int, k2: int, lambda_value: float) -> tuple[int, int, float]:
    """The numbers of k-reciprocal re-ranking; the kernels check their ranges."""
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
