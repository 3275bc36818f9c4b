"""Ranks of every query's positives: what CMC, AP and INP are made of.

Nothing is sorted and no distance matrix is kept: a rank is a count of nearer gallery images.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, computed, described
from reid_ext._runtime.kernels import code_of, kernel
from reid_ext.ops._autograd import no_gradient
from reid_ext.ops._contract import METRICS, fake

COMPUTES = ("exact", "approximate")


class Lists(NamedTuple):
    """One list of gallery indices per query, end to end.

    ``indices[offsets[q]:offsets[q + 1]]`` are those of query q, ascending; both int64, ``offsets``
    of shape (Q + 1,).
    """

    offsets: Tensor
    indices: Tensor


def rank_positives(
    query: Tensor,
    gallery: Tensor,
    positives: Lists,
    junk: Lists,
    *,
    metric: str = "cosine",
    compute: str = "exact",
) -> Tensor:
    """Return the rank of each query's positives in its gallery without its junk.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16.
        gallery: Features of shape (G, D), same dtype and device.
        positives: The gallery images of the query's identity that count, each once.
        junk: Gallery images to be left out of the query's ranking, each once; no positives.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.
        compute: ``"exact"``: ranks of the distances in the precision of the features (half types:
            float32). On the CPU the kernel finds them by products in bfloat16 where those are
            faster, and computes in full what their rounding error leaves open. ``"approximate"``:
            ranks of distances by products in bfloat16; not for float64.

    Returns:
        Ranks from 1, int64 of shape (P,): of query q at ``positives.offsets[q]``, ascending. They
        are those of a stable sort by (distance, gallery index), NaN last. Not differentiable.
        Memory is O(P) and one block of at most 64 MiB, or one row of the distance matrix.

    Raises:
        ArgumentError: an argument has an invalid shape, dtype, device or value. The values of the
            lists are checked on the CPU only: on a GPU the check would wait for the device.
    """
    name = "rank_positives"
    return _rank_positives(
        _features(name, "query", query, compute),
        _features(name, "gallery", gallery, compute),
        *_lists(name, "positives", positives),
        *_lists(name, "junk", junk),
        code_of(name, "metric", metric, METRICS),
        _compute(name, compute, query),
    )


def rank_positives_from_distances(distances: Tensor, positives: Lists, junk: Lists) -> Tensor:
    """Return the same ranks from a distance matrix of shape (Q, G), smaller is closer.

    Args:
        distances: Shape (Q, G), float32, float64, bfloat16 or float16.
        positives: As in :func:`rank_positives`.
        junk: As in :func:`rank_positives`.

    Returns:
        As :func:`rank_positives`.

    Raises:
        ArgumentError: as :func:`rank_positives`.
    """
    name = "rank_positives_from_distances"
    return _rank_positives_from_distances(
        computed(name, "distances", distances),
        *_lists(name, "positives", positives),
        *_lists(name, "junk", junk),
    )


def pair_values(
    query: Tensor,
    block: Tensor,
    pair_query: Tensor,
    pair_row: Tensor,
    *,
    metric: str = "cosine",
    compute: str = "exact",
) -> Tensor:
    """Return what the distance of each pair (query row, block row) is ordered by.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16.
        block: Features of shape (B, D), some rows of a gallery, same dtype and device.
        pair_query: Rows of ``query``, int64 of shape (P,).
        pair_row: Rows of ``block``, int64 of shape (P,).
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.
        compute: As for :func:`count_before`: ``"approximate"`` rounds the features to bfloat16.

    Returns:
        Shape (P,), float32 or float64: smaller is closer, for pairs of one query. Not the distance
        itself: what a query's distances have in common is left out. NaN where a row is not finite.

    Raises:
        ArgumentError: an argument has an invalid shape, dtype, device or (on the CPU) value.
    """
    name = "pair_values"
    rows = _features(name, "query", query, compute), _features(name, "block", block, compute)
    _compute(name, compute, query)  # a check: the kernel has nothing to choose
    return _pair_values(*rows, pair_query, pair_row, code_of(name, "metric", metric, METRICS))


def count_before(
    query: Tensor,
    block: Tensor,
    first: int,
    thresholds: Tensor,
    positives: Lists,
    listed: Lists,
    *,
    metric: str = "cosine",
    compute: str = "exact",
) -> Tensor:
    """Return how many images of one block of a gallery come before each positive.

    The rank of a positive is one, and the query's positives that come before it, and the sum of
    these counts over all blocks. So :func:`rank_positives` of a gallery that never is in memory as
    a whole takes one call per block.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16.
        block: Features of shape (B, D), same dtype and device.
        first: Gallery index of the block's first row.
        thresholds: The :func:`pair_values` of every positive, shape (P,).
        positives: Their gallery indices, (P,) in all.
        listed: Gallery indices that do not count: each query's positives and junk, ascending.
        metric: As for the thresholds.
        compute: As for :func:`rank_positives`; the kernel decides for each block.

    Returns:
        Counts, int64 of shape (P,). An image with a positive's very value counts if its gallery
        index is the lower. Memory beyond it is a bfloat16 copy of the block, if any, and one tile
        of the product, of 4 (CPU) or 32 MiB.

    Raises:
        ArgumentError: as :func:`rank_positives`.
    """
    name = "count_before"
    return _count_before(
        _features(name, "query", query, compute),
        _features(name, "block", block, compute),
        first,
        thresholds,
        *reversed(_lists(name, "positives", positives)),
        *_lists(name, "listed", listed),
        code_of(name, "metric", metric, METRICS),
        _compute(name, compute, query),
    )


def _lists(function: str, argument: str, lists: Lists) -> Lists:
    """The pair of tensors that :class:`Lists` is; their content is checked by the kernel."""
    if isinstance(lists, tuple) and len(lists) == 2:
        return Lists(*lists)
    requirement = "be Lists, a pair of offsets and indices"
    raise ArgumentError(function, argument, requirement, described(lists))


def _features(function: str, argument: str, x: Tensor, compute: str) -> Tensor:
    """Features as the kernels take them; approximate ones are rounded, which every device does."""
    x = computed(function, argument, x)
    rounds = isinstance(compute, str) and compute == "approximate" and x.dtype == torch.float32
    return x.bfloat16().float() if rounds else x


def _compute(function: str, compute: str, query: Tensor) -> int:
    """The number by which the kernel knows ``compute``."""
    code = code_of(function, "compute", compute, COMPUTES)
    if compute == "approximate" and query.dtype == torch.float64:
        requirement, advice = "be 'exact' for float64 features", "call .float() on the features"
        raise ArgumentError(function, "compute", requirement, repr(compute), advice)
    return code


# Arguments of the kernels that are fields of the user's arguments.
_FIELDS = {
    f"{kernel}_{field}": f"{user}.{field}"
    for kernel, user in (("positive", "positives"), ("junk", "junk"), ("listed", "listed"))
    for field in ("offsets", "indices")
}
_FIELDS |= {"offsets": "positives.offsets", "indices": "positives.indices"}


def _kernel(op: str) -> Callable[..., Tensor]:
    """The op, with errors that name the arguments of its public function."""
    call = kernel(op)

    def run(*given: object) -> Tensor:
        if torch.compiler.is_compiling():
            return call(*given)
        try:
            return call(*given)
        except ArgumentError as error:
            raise error.named(op, **_FIELDS) from None

    return run


_rank_positives = _kernel("rank_positives")
_rank_positives_from_distances = _kernel("rank_positives_from_distances")
_pair_values = _kernel("pair_values")
_count_before = _kernel("count_before")


@fake("rank_positives")
def _(
    query, gallery, positive_offsets, positive_indices, junk_offsets, junk_indices, metric, compute
):
    return torch.empty_like(positive_indices)


@fake("rank_positives_from_distances")
def _(distances, positive_offsets, positive_indices, junk_offsets, junk_indices):
    return torch.empty_like(positive_indices)


@fake("pair_values")
def _(query, block, pair_query, pair_row, metric):
    return query.new_empty(len(pair_query))


@fake("count_before")
def _(
    query,
    block,
    first,
    thresholds,
    indices,
    offsets,
    listed_offsets,
    listed_indices,
    metric,
    compute,
):
    return torch.empty_like(indices)


_OF_FEATURES = ("rank_positives", "pair_values", "count_before")
for _op in (*_OF_FEATURES, "rank_positives_from_distances"):
    no_gradient(_op)
for _op in _OF_FEATURES:
    for _device in ("cuda", "cpu"):
        torch.library.register_autocast(f"reid_ext::{_op}", _device, torch.float32)
