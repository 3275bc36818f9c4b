"""Ranks of positives in a gallery that is never in memory as a whole.

Two passes are needed: the first computes the distances of the positive pairs, which involve few
rows. The second counts how many images of every block come before them. The ranks are those of a
stable sort by these distances, for any division of the gallery into blocks.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import ops
from reid_ext._runtime.precision import op_compute, precision
from reid_ext.evaluation._engine.blocks import Block, Blocks, Upload
from reid_ext.evaluation._engine.pairs import query_of
from reid_ext.ops import Lists

HALF = (torch.float16, torch.bfloat16)


def rank_positives(
    query: Tensor,
    blocks: Blocks,
    positives: Lists,
    junk: Lists,
    kept: Tensor | None,
    metric: str,
    compute: str,
) -> Tensor:
    """Return what :func:`reid_ext.ops.rank_positives` returns for the whole gallery, (P,).

    ``kept`` marks the rows that are not ignored, (G,) bool, and the lists index these. None keeps
    all.
    """
    thresholds = _thresholds(query, _kept(blocks, kept), positives, metric, compute)
    rows: Iterable[Block] = _kept(blocks, kept)
    counts = counts_before(
        query,
        Upload(query.device)(rows) if query.is_cuda else rows,
        thresholds,
        positives,
        merged(positives, junk),
        metric,
        compute,
    )
    return ranks_of(counts, thresholds, positives)


def counts_before(
    query: Tensor,
    blocks: Iterable[Block],
    thresholds: Tensor,
    positives: Lists,
    listed: Lists,
    metric: str,
    compute: str,
) -> Tensor:
    """Count the images of all blocks before each positive, excluding the listed images."""
    counts = torch.zeros_like(positives.indices)
    for first, block in blocks:
        with precision(compute):  # the user's code that makes the blocks keeps its own precision
            counts += ops.count_before(
                query,
                block,
                first,
                thresholds,
                positives,
                listed,
                metric=metric,
                compute=op_compute(compute),
            )
    return counts


def ranks_of(counts: Tensor, thresholds: Tensor, positives: Lists) -> Tensor:
    """Return the ranks of the positives, ascending within a query."""
    ranks = counts + _place_among_own(thresholds, positives) + 1
    order = ranks.argsort(stable=True)
    return ranks[order[query_of(positives)[order].argsort(stable=True)]]


def _kept(gallery: Blocks, mask: Tensor | None) -> Iterable[Block]:
    """Yield the blocks without ignored rows, numbered as if these rows did not exist."""
    if mask is None:
        yield from gallery
        return
    mask = mask.cpu()
    before = F.pad(mask.cumsum(0), (1, 0))
    for first, block in gallery:
        of_block = mask[first : first + len(block)].to(block.device)
        yield Block(int(before[first]), block if of_block.all() else block[of_block])


def _thresholds(
    query: Tensor, blocks: Iterable[Block], positives: Lists, metric: str, compute: str
) -> Tensor:
    """Return the distance of each positive pair; only rows of positives are read from a block."""
    compute = op_compute(compute)
    is_rounded = query.dtype in HALF or (compute == "approximate" and query.is_cuda)
    order = positives.indices.argsort()
    rows, queries = positives.indices[order], query_of(positives)[order]
    values = []
    done = 0
    for first, block in blocks:
        end = int(torch.searchsorted(rows, first + len(block)))
        where = rows[done:end] - first
        of_block = block
        if block.device != query.device or is_rounded:  # copies only the rows that are needed
            here, where = where.unique(return_inverse=True)
            of_block = block[here.to(block.device)].to(query.device)
        pairs = query, of_block, queries[done:end], where
        values.append(ops.pair_values(*pairs, metric=metric, compute=compute))
        done = end
    sorted_values = torch.cat(values)
    return torch.empty_like(sorted_values).scatter_(0, order, sorted_values)


def _place_among_own(values: Tensor, positives: Lists) -> Tensor:
    """Count the positives of the same query before each one: by value, then index, NaN last."""
    of_query = query_of(positives)
    order = values.argsort(stable=True)
    order = order[of_query[order].argsort(stable=True)]
    place = torch.arange(len(order), device=order.device) - positives.offsets[of_query[order]]
    return torch.empty_like(place).scatter_(0, order, place)


def merged(a: Lists, b: Lists) -> Lists:
    """Return the entries of both lists for each query, ascending."""
    indices = torch.cat([a.indices, b.indices])
    of_query = torch.cat([query_of(a), query_of(b)])
    order = indices.argsort()
    order = order[of_query[order].argsort(stable=True)]
    return Lists(a.offsets + b.offsets, indices[order])
