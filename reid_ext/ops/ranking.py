"""Ranks of every query's positives: what CMC, AP and INP are made of.

Nothing is sorted and no distance matrix is kept: a rank is a count of nearer gallery images.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext._runtime.arguments import computed
from reid_ext.ops._autograd import no_gradient
from reid_ext.ops._contract import METRICS, code_of, fake

ESTIMATES = ("full", "bfloat16", "bfloat16_only")


class Lists(NamedTuple):
    """One list of gallery indices per query, end to end.

    ``indices[offsets[q]:offsets[q + 1]]`` are those of query q, ascending; both int64, ``offsets``
    of shape (Q + 1,).
    """

    offsets: Tensor
    indices: Tensor


def rank_positives(
    query: Tensor, gallery: Tensor, positives: Lists, junk: Lists, *, metric: str = "cosine"
) -> Tensor:
    """Return the rank of each query's positives in its gallery without its junk.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16.
        gallery: Features of shape (G, D), same dtype and device.
        positives: The gallery images of the query's identity that count, each once.
        junk: Gallery images to be left out of the query's ranking, each once; no positives.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.

    Returns:
        Ranks from 1, int64 of shape (P,): of query q at ``positives.offsets[q]``, ascending. They
        are those of a stable sort by (distance, gallery index), NaN last. Not differentiable.
        Memory is O(P) and one block of at most 64 MiB, or one row of the distance matrix.

    Raises:
        RuntimeError: a shape, dtype, device, metric or list that does not fit, by name. List
            values are checked on the CPU only: on a GPU that would wait for the device.
    """
    return torch.ops.reid_ext.rank_positives.default(
        computed("rank_positives", "query", query),
        computed("rank_positives", "gallery", gallery),
        *positives,
        *junk,
        code_of("rank_positives", "metric", metric, METRICS),
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
        RuntimeError: as :func:`rank_positives`.
    """
    return torch.ops.reid_ext.rank_positives_from_distances.default(
        computed("rank_positives_from_distances", "distances", distances), *positives, *junk
    )


def pair_values(
    query: Tensor, block: Tensor, pair_query: Tensor, pair_row: Tensor, *, metric: str = "cosine"
) -> Tensor:
    """Return what the distance of each pair (query row, block row) is ordered by.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16.
        block: Features of shape (B, D), some rows of a gallery, same dtype and device.
        pair_query: Rows of ``query``, int64 of shape (P,).
        pair_row: Rows of ``block``, int64 of shape (P,).
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.

    Returns:
        Shape (P,), float32 or float64: smaller is closer, for pairs of one query. Not the distance
        itself: what a query's distances have in common is left out. NaN where a row is not finite.

    Raises:
        RuntimeError: a shape, dtype, device, metric or (on the CPU) row that does not fit, by name.
    """
    return torch.ops.reid_ext.pair_values.default(
        computed("pair_values", "query", query),
        computed("pair_values", "block", block),
        pair_query,
        pair_row,
        code_of("pair_values", "metric", metric, METRICS),
    )


def count_before(
    query: Tensor,
    block: Tensor,
    first: int,
    thresholds: Tensor,
    positives: Lists,
    listed: Lists,
    *,
    metric: str = "cosine",
    estimate: str = "full",
) -> Tensor:
    """Return how many images of one block of a gallery come before each positive.

    With the positives of a query that come before it, and one, the sum over all blocks is the
    positive's rank: :func:`rank_positives` of a gallery that is never there as a whole.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16.
        block: Features of shape (B, D), same dtype and device.
        first: Gallery index of the block's first row.
        thresholds: Of every positive its :func:`pair_values`, shape (P,).
        positives: Their gallery indices, (P,) in all.
        listed: Gallery indices that do not count: each query's positives and junk, ascending.
        metric: As for the thresholds.
        estimate: The products by which pairs are told apart. ``"full"``: in the precision of the
            features. ``"bfloat16"``: in bfloat16, and the pairs that its error leaves open in full:
            the same counts. ``"bfloat16_only"``: in bfloat16 as they come, approximate. The latter
            two take float32 (or half) features on the CPU; see :func:`cpu_has_bfloat16`.

    Returns:
        Counts, int64 of shape (P,). An image with a positive's very value counts if its gallery
        index is the lower. Memory beyond it is a bfloat16 copy of the block, if any, and one tile
        of the product, of 4 (CPU) or 32 MiB.

    Raises:
        RuntimeError: as :func:`rank_positives`; an estimate that does not fit the features.
    """
    return torch.ops.reid_ext.count_before.default(
        computed("count_before", "query", query),
        computed("count_before", "block", block),
        first,
        thresholds,
        positives.indices,
        positives.offsets,
        *listed,
        code_of("count_before", "metric", metric, METRICS),
        code_of("count_before", "estimate", estimate, ESTIMATES),
    )


def open_pairs(
    query: Tensor, block: Tensor, thresholds: Tensor, positives: Lists, *, metric: str = "cosine"
) -> int:
    """Return how many pairs (query, row of the block) an estimate in bfloat16 leaves open.

    Of a sample of a problem this says whether :func:`count_before` is faster by such estimates:
    it is while they leave open less than a tenth.

    Args:
        query: Features of shape (Q, D), float32, bfloat16 or float16, on the CPU.
        block: Features of shape (B, D), same dtype.
        thresholds: As of :func:`count_before`, shape (P,).
        positives: Whose thresholds they are; only ``offsets`` is looked at.
        metric: As for the thresholds.

    Raises:
        RuntimeError: as :func:`count_before`.
    """
    return torch.ops.reid_ext.open_pairs.default(
        computed("open_pairs", "query", query),
        computed("open_pairs", "block", block),
        thresholds,
        positives.offsets,
        code_of("open_pairs", "metric", metric, METRICS),
    )


def cpu_has_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16 faster than float32 (AVX512_BF16)."""
    return torch.ops.reid_ext.cpu_has_bfloat16.default()


@fake("rank_positives")
def _(query, gallery, positive_offsets, positive_indices, junk_offsets, junk_indices, metric):
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
    estimate,
):
    return torch.empty_like(indices)


_OF_FEATURES = ("rank_positives", "pair_values", "count_before")
for _op in (*_OF_FEATURES, "rank_positives_from_distances"):
    no_gradient(_op)
for _op in _OF_FEATURES:
    for _device in ("cuda", "cpu"):
        torch.library.register_autocast(f"reid_ext::{_op}", _device, torch.float32)
