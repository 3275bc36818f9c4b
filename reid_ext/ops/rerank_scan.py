"""k-reciprocal re-ranking in parts, for several processes: scans of some pairs, then some queries.

The bits are those of :func:`reid_ext.ops.k_reciprocal`, in however many parts: each makes the very
tiles of products that one would make.
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
    """Of each of the N images, queries first, some of the nearest.

    ``keys`` (N, k), by which they are ordered, and ``indices`` (N, k), int64, N standing for none;
    ``farthest`` (N,), the largest key. k is ``max(k1 + 1, k2)``, but at most N.
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
    """Return the nearest images of every image among the pairs that this part is dealt.

    The scans of all parts, merged by :func:`merge_scans`, are that of one part. They divide the
    products of all N x N pairs about evenly.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16, finite.
        gallery: Features of shape (G, D), same dtype and device.
        k1: As in :func:`k_reciprocal`; so are ``k2`` and ``metric``.
        part: Which part, from 0 to ``parts - 1``.
        parts: How many there are.

    Returns:
        :class:`Scan`. Memory besides is O(N) and a tile.

    Raises:
        ArgumentError: a shape, dtype, device, metric or number is invalid.
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
    """Return what the scans, of the same images by different parts, found together."""
    if not instance("merge_scans", "scans", scans, list):
        raise ArgumentError("merge_scans", "scans", "hold at least one Scan", "an empty list")
    scans = [instance("merge_scans", f"scans[{i}]", s, Scan) for i, s in enumerate(scans)]
    keys, indices = (torch.cat([scan[field] for scan in scans], 1) for field in (0, 1))
    order = indices.argsort(1)
    keys, indices = keys.gather(1, order), indices.gather(1, order)
    order = keys.argsort(dim=1, stable=True)[:, : scans[0].keys.shape[1]]  # NaN, for none, is last
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
    """Return rows ``first`` to ``first + count`` of :func:`k_reciprocal`, (count, G).

    Args:
        scan: Of all parts, merged, with the same features, k1, k2 and metric.
        first: Number of the first query.
        count: How many queries, from 0.

    Raises:
        ArgumentError: as :func:`k_reciprocal`; a scan of other images.
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
    """Return these rows of :func:`k_reciprocal_nearest`, (count, top).

    Args:
        top: Gallery images per query, from 1 to G.

    The other arguments and the errors are those of :func:`k_reciprocal_of_scan`.
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
