"""What the tests of ranking share: lists from masks, and ranks from the streaming ops."""

import itertools

import numpy as np
import torch

from reid_ext import ops


def lists(mask, device="cpu"):
    """Lists of where a (Q, G) mask holds, query by query."""
    mask = np.asarray(mask)
    offsets = np.concatenate([[0], mask.sum(1).cumsum()])
    return ops.Lists(*(torch.tensor(t, device=device) for t in (offsets, np.nonzero(mask)[1])))


def streamed_ranks(query, pieces, positive, junk, metric, estimate="full"):
    """Ranks by the ops themselves, from masks (Q, G)."""
    p, listed = lists(positive, query.device), lists(positive | junk, query.device)
    of_query = torch.repeat_interleave(p.offsets.diff())
    values = ops.pair_values(query, torch.cat(pieces), of_query, p.indices, metric=metric)
    total, first = torch.ones_like(p.indices), 0
    for block in pieces:
        total += ops.count_before(
            query, block, first, values, p, listed, metric=metric, estimate=estimate
        )
        first += len(block)
    ranks = []
    for begin, end in itertools.pairwise(p.offsets.tolist()):
        order = values[begin:end].cpu().numpy().argsort(kind="stable")
        ranks += (total[begin:end].cpu()[order] + torch.arange(end - begin)).tolist()
    return ranks


def draw(q, g, rng=None):
    """Which gallery images are a query's positives and which are its junk: about a third each."""
    kind = (rng or np.random.default_rng(0)).integers(0, 3, (q, g))
    return kind == 1, kind == 2
