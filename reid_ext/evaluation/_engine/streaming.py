"""Ranks of positives in a gallery that is never there as a whole.

Two passes: the values of the positives' own pairs, which need few rows, then how many images of
every block come before them. The ranks are those of a stable sort by these values, however the
gallery was cut.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import ops
from reid_ext.evaluation._engine import compute as computing
from reid_ext.evaluation._engine import pairs as matches
from reid_ext.evaluation._engine.blocks import Block, Blocks, Upload
from reid_ext.evaluation._engine.compute import Products
from reid_ext.ops import Lists

HALF = (torch.float16, torch.bfloat16)
SAMPLED_QUERIES, SAMPLED_IMAGES = 64, 2048
MOST_OPEN = 0.1  # of the pairs, for estimates in bfloat16 to be faster than products in full


def bfloat16_pays(query: Tensor, gallery: Tensor, positives: Lists, metric: str) -> bool:
    """Whether estimates in bfloat16 leave few pairs open, in a sample of a whole gallery."""
    some = torch.arange(0, len(query), -(-len(query) // SAMPLED_QUERIES), device=query.device)
    counts = positives.offsets.diff()[some]
    mask = torch.isin(matches.query_of(positives), some)
    of_some = Lists(F.pad(counts.cumsum(0), (1, 0)), positives.indices[mask])
    query, images = query[some], gallery[:: -(-len(gallery) // SAMPLED_IMAGES)]
    pairs = torch.repeat_interleave(counts), torch.arange(len(of_some.indices), device=query.device)
    thresholds = ops.pair_values(query, gallery[of_some.indices], *pairs, metric=metric)
    open_pairs = ops.open_pairs(query, images, thresholds, of_some, metric=metric)
    return open_pairs < MOST_OPEN * len(query) * len(images)


def rank_positives(
    query: Tensor,
    gallery: Blocks,
    positives: Lists,
    junk: Lists,
    kept: Tensor | None,
    metric: str,
    compute: str,
) -> Tensor:
    """Return what :func:`reid_ext.ops.rank_positives` would of the rows that are kept, (P,)."""
    how = computing.products("evaluate", compute, query)
    query = how.features(query)
    thresholds = _thresholds(query, _kept(gallery, kept), positives, metric, how)
    blocks: Iterable[Block] = _kept(gallery, kept)
    counts = counts_before(
        query,
        Upload(query.device)(blocks) if query.is_cuda else blocks,
        thresholds,
        positives,
        merged(positives, junk),
        metric,
        compute,
    )
    return ranks_of(counts, thresholds, positives)


def values_of(
    query: Tensor, rows: Tensor, pair_query: Tensor, pair_row: Tensor, metric: str, compute: str
) -> Tensor:
    how = computing.products("evaluate", compute, query)
    return ops.pair_values(
        how.features(query), how.features(rows), pair_query, pair_row, metric=metric
    )


def counts_before(
    query: Tensor,
    blocks: Iterable[Block],
    thresholds: Tensor,
    positives: Lists,
    listed: Lists,
    metric: str,
    compute: str,
) -> Tensor:
    """How many images of all blocks come before each positive, those listed not counted."""
    how = computing.products("evaluate", compute, query)
    query = how.features(query)
    counts = torch.zeros_like(positives.indices)
    for first, block in blocks:
        with how.setting():  # and not where the user's code makes the blocks
            counts += ops.count_before(
                query,
                how.features(block),
                first,
                thresholds,
                positives,
                listed,
                metric=metric,
                estimate=how.estimate,
            )
    return counts


def ranks_of(counts: Tensor, thresholds: Tensor, positives: Lists) -> Tensor:
    """The ranks of the positives, those of a query ascending."""
    ranks = counts + _place_among_own(thresholds, positives) + 1
    order = ranks.argsort(stable=True)
    return ranks[order[matches.query_of(positives)[order].argsort(stable=True)]]


def _kept(gallery: Blocks, mask: Tensor | None) -> Iterable[Block]:
    """The blocks without the rows that are ignored, numbered as if these did not exist."""
    if mask is None:
        yield from gallery
        return
    mask = mask.cpu()
    before = F.pad(mask.cumsum(0), (1, 0))
    for first, block in gallery:
        of_block = mask[first : first + len(block)].to(block.device)
        yield Block(int(before[first]), block if of_block.all() else block[of_block])


def _thresholds(
    query: Tensor, blocks: Iterable[Block], positives: Lists, metric: str, how: Products
) -> Tensor:
    """The value of each positive; of a block only the rows of positives are read."""
    order = positives.indices.argsort()
    rows, queries = positives.indices[order], matches.query_of(positives)[order]
    values = []
    done = 0
    for first, block in blocks:
        end = int(torch.searchsorted(rows, first + len(block)))
        where = rows[done:end] - first
        of_block = block
        if block.device != query.device or block.dtype in HALF or how.rounded:  # not all of it
            here, where = where.unique(return_inverse=True)
            of_block = how.features(block[here.to(block.device)].to(query.device))
        values.append(ops.pair_values(query, of_block, queries[done:end], where, metric=metric))
        done = end
    sorted_values = torch.cat(values)
    return torch.empty_like(sorted_values).scatter_(0, order, sorted_values)


def _place_among_own(values: Tensor, positives: Lists) -> Tensor:
    """How many positives of its query come before each: by value, then index, NaN last."""
    of_query = matches.query_of(positives)
    order = values.argsort(stable=True)
    order = order[of_query[order].argsort(stable=True)]
    place = torch.arange(len(order), device=order.device) - positives.offsets[of_query[order]]
    return torch.empty_like(place).scatter_(0, order, place)


def merged(a: Lists, b: Lists) -> Lists:
    """The entries of both lists of each query, ascending."""
    indices = torch.cat([a.indices, b.indices])
    of_query = torch.cat([matches.query_of(a), matches.query_of(b)])
    order = indices.argsort()
    order = order[of_query[order].argsort(stable=True)]
    return Lists(a.offsets + b.offsets, indices[order])
