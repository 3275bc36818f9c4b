"""k-reciprocal re-ranking divided among processes: first the pairs of images, then the queries.

The results are bit-identical to :func:`reid_ext.ops.k_reciprocal` for any number of parts, because
all parts together compute exactly the same tiles of the matrix product.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, dense, instance, integer
from reid_ext._runtime.kernels import code_of, kernel
from reid_ext.ops._autograd import no_gradient
from reid_ext.ops._contract import METRICS, fake
from reid_ext.ops.rerank import Nearest, read_problem, read_settings


class Scan(NamedTuple):
    """The nearest images that :func:`k_reciprocal_scan` found for each of the N images.

    The N = Q + G images are the queries followed by the gallery, and k = min(max(k1 + 1, k2), N).

    Attributes:
        keys: Values of shape (N, k) that order like the distances to the nearest images. NaN fills
            the places for which the part found no image.
        indices: Indices of the nearest images, int64 of shape (N, k). N fills these places.
        farthest: The largest key of each image, of shape (N,).

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> scan = ops.k_reciprocal_scan(torch.zeros(1, 2), torch.ones(3, 2), k1=1, k2=1)
        >>> scan.indices.shape  # 4 images with 2 nearest images each
        torch.Size([4, 2])
    """

    keys: Tensor
    indices: Tensor
    farthest: Tensor


def k_reciprocal_scan(
    query: Tensor,
    gallery: Tensor,
    *,
    k1: int = 20,
    k2: int = 6,
    metric: str = "squared_euclidean",
    part: int = 0,
    parts: int = 1,
) -> Scan:
    """Return the nearest images of every image, found among one part of the pairs of images.

    :func:`merge_scans` merges the scans of all parts into the scan of all pairs. The parts have
    about equal shares of the N x N pairs.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16, finite.
        gallery: Features of shape (G, D), same dtype and device.
        k1: As in :func:`k_reciprocal`.
        k2: As in :func:`k_reciprocal`.
        metric: As in :func:`k_reciprocal`.
        part: Number of this part, from 0 to ``parts - 1``. Default: 0.
        parts: Number of parts. Default: 1.

    Returns:
        :class:`Scan`. Memory besides the result is O(N) plus one tile.

    Raises:
        ArgumentError: a shape, dtype, device, metric or number is invalid.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> query, gallery = torch.tensor([[0.0]]), torch.tensor([[3.0], [1.0], [2.0]])
        >>> scans = [
        ...     ops.k_reciprocal_scan(query, gallery, k1=1, k2=1, part=part, parts=2)
        ...     for part in range(2)
        ... ]
        >>> ops.merge_scans(scans).indices  # each image and its nearest other image
        tensor([[0, 2],
                [1, 3],
                [2, 0],
                [3, 1]])
    """
    function = "k_reciprocal_scan"
    return Scan(
        *_k_reciprocal_scan(
            *read_problem(function, query, gallery),
            integer(function, "k1", k1),
            integer(function, "k2", k2),
            code_of(function, "metric", metric, METRICS),
            integer(function, "part", part),
            integer(function, "parts", parts),
        )
    )


def merge_scans(scans: list[Scan]) -> Scan:
    """Merge the scans of all parts of the same images into one scan.

    Args:
        scans: The results of :func:`k_reciprocal_scan`, one for each part.

    Returns:
        :class:`Scan` with the nearest images among the pairs of all parts.

    Raises:
        ArgumentError: the list is empty or holds another type.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> query, gallery = torch.zeros(1, 2), torch.ones(3, 2)
        >>> whole = ops.k_reciprocal_scan(query, gallery, k1=1, k2=1)
        >>> parts = [ops.k_reciprocal_scan(query, gallery, k1=1, k2=1, part=p, parts=2)
        ...          for p in range(2)]
        >>> bool((ops.merge_scans(parts).indices == whole.indices).all())
        True
    """
    if not instance("merge_scans", "scans", scans, list):
        raise ArgumentError("merge_scans", "scans", "hold at least one Scan", "an empty list")
    scans = [instance("merge_scans", f"scans[{i}]", s, Scan) for i, s in enumerate(scans)]
    keys, indices = (torch.cat([scan[field] for scan in scans], 1) for field in (0, 1))
    order = indices.argsort(1)
    keys, indices = keys.gather(1, order), indices.gather(1, order)
    order = keys.argsort(dim=1, stable=True)[
        :, : scans[0].keys.shape[1]
    ]  # NaN, which marks missing images, is last
    farthest = torch.stack([scan.farthest for scan in scans]).amax(0)
    return Scan(keys.gather(1, order), indices.gather(1, order), farthest)


def k_reciprocal_of_scan(
    query: Tensor,
    gallery: Tensor,
    scan: Scan,
    first: int,
    count: int,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    metric: str = "squared_euclidean",
) -> Tensor:
    """Return the rows ``first`` to ``first + count - 1`` of :func:`k_reciprocal`.

    Args:
        query: As in :func:`k_reciprocal`.
        gallery: As in :func:`k_reciprocal`.
        scan: The merged scan of all parts, made with the same features, ``k1``, ``k2`` and
            ``metric``.
        first: Index of the first query.
        count: Number of queries, 0 or more.
        k1: As in :func:`k_reciprocal`.
        k2: As in :func:`k_reciprocal`.
        lambda_value: As in :func:`k_reciprocal`.
        metric: As in :func:`k_reciprocal`.

    Returns:
        Distances of shape (count, G).

    Raises:
        ArgumentError: as in :func:`k_reciprocal`, or the scan belongs to other images.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> query, gallery = torch.tensor([[0.0], [5.0]]), torch.tensor([[3.0], [1.0], [2.0]])
        >>> scan = ops.k_reciprocal_scan(query, gallery, k1=1, k2=1)
        >>> row = ops.k_reciprocal_of_scan(query, gallery, scan, first=1, count=1, k1=1, k2=1)
        >>> torch.equal(row, ops.k_reciprocal(query, gallery, k1=1, k2=1)[1:])
        True
    """
    function = "k_reciprocal_of_scan"
    return _k_reciprocal_of_scan(
        *read_problem(function, query, gallery),
        *_read_scan(function, scan),
        *read_settings(function, k1, k2, lambda_value),
        code_of(function, "metric", metric, METRICS),
        integer(function, "first", first),
        integer(function, "count", count),
    )


def k_reciprocal_nearest_of_scan(
    query: Tensor,
    gallery: Tensor,
    scan: Scan,
    first: int,
    count: int,
    top: int,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    metric: str = "squared_euclidean",
) -> Nearest:
    """Return the rows ``first`` to ``first + count - 1`` of :func:`k_reciprocal_nearest`.

    Args:
        query: As in :func:`k_reciprocal`.
        gallery: As in :func:`k_reciprocal`.
        scan: As in :func:`k_reciprocal_of_scan`.
        first: Index of the first query.
        count: Number of queries, 0 or more.
        top: Number of gallery images per query, from 1 to G.
        k1: As in :func:`k_reciprocal`.
        k2: As in :func:`k_reciprocal`.
        lambda_value: As in :func:`k_reciprocal`.
        metric: As in :func:`k_reciprocal`.

    Returns:
        :class:`Nearest` of shape (count, top).

    Raises:
        ArgumentError: as in :func:`k_reciprocal_of_scan`, or ``top`` is out of range.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> query, gallery = torch.tensor([[0.0], [5.0]]), torch.tensor([[3.0], [1.0], [2.0]])
        >>> scan = ops.k_reciprocal_scan(query, gallery, k1=1, k2=1)
        >>> ops.k_reciprocal_nearest_of_scan(query, gallery, scan, 0, 1, top=2, k1=1, k2=1).indices
        tensor([[1, 2]])
    """
    function = "k_reciprocal_nearest_of_scan"
    return Nearest(
        *_k_reciprocal_nearest_of_scan(
            *read_problem(function, query, gallery),
            *_read_scan(function, scan),
            *read_settings(function, k1, k2, lambda_value),
            code_of(function, "metric", metric, METRICS),
            integer(function, "first", first),
            integer(function, "count", count),
            integer(function, "top", top),
        )
    )


def _read_scan(function: str, scan: Scan) -> list[Tensor]:
    return [
        dense(function, f"scan.{name}", value)
        for name, value in zip(Scan._fields, instance(function, "scan", scan, Scan), strict=True)
    ]


_k_reciprocal_scan = kernel("k_reciprocal_scan")
_k_reciprocal_of_scan = kernel("k_reciprocal_of_scan")
_k_reciprocal_nearest_of_scan = kernel("k_reciprocal_nearest_of_scan")


@fake("k_reciprocal_scan")
def _(query, gallery, k1, k2, metric, part, parts):
    n = query.shape[0] + gallery.shape[0]
    k = min(max(k1 + 1, k2), n)
    return query.new_empty(n, k), query.new_empty(n, k, dtype=torch.int64), query.new_empty(n)


@fake("k_reciprocal_of_scan")
def _(query, gallery, keys, indices, farthest, k1, k2, lambda_value, metric, first, count):
    return query.new_empty(count, gallery.shape[0])


@fake("k_reciprocal_nearest_of_scan")
def _(query, gallery, keys, indices, farthest, k1, k2, lambda_value, metric, first, count, top):
    return query.new_empty(count, top), query.new_empty(count, top, dtype=torch.int64)


_OPS = ("k_reciprocal_scan", "k_reciprocal_of_scan", "k_reciprocal_nearest_of_scan")
for _op in _OPS:
    no_gradient(_op)
    for _device in ("cuda", "cpu"):
        torch.library.register_autocast(f"reid_ext::{_op}", _device, torch.float32)
