"""Helpers for the tests of ranking: lists from masks, and ranks from the streaming ops."""

import contextlib
import itertools
import os

import numpy as np
import torch

from reid_ext import ops


def lists(mask, device="cpu"):
    """For each query, the gallery indices at which a mask (Q, G) is true."""
    mask = np.asarray(mask)
    offsets = np.concatenate([[0], mask.sum(1).cumsum()])
    return ops.Lists(*(torch.tensor(t, device=device) for t in (offsets, np.nonzero(mask)[1])))


ESTIMATES = ("float32", "bfloat16")


@contextlib.contextmanager
def estimated_by(estimate):
    """Force the type of the products with which the CPU kernels estimate distances."""
    before = os.environ.get("REID_EXT_CPU_ESTIMATE")
    os.environ["REID_EXT_CPU_ESTIMATE"] = estimate
    try:
        yield
    finally:
        del os.environ["REID_EXT_CPU_ESTIMATE"]
        if before is not None:
            os.environ["REID_EXT_CPU_ESTIMATE"] = before


def whole_ranks(query, gallery, positive, junk, metric, estimate):
    """Ranks in a gallery in memory, for masks (Q, G)."""
    of_masks = lists(positive, query.device), lists(junk, query.device)
    with estimated_by(estimate):
        return ops.rank_positives(query, gallery, *of_masks, metric=metric).tolist()


def streamed_ranks(query, pieces, positive, junk, metric, estimate="float32"):
    """Ranks in a gallery in blocks, computed with the streaming ops, for masks (Q, G)."""
    p, listed = lists(positive, query.device), lists(positive | junk, query.device)
    of_query = torch.repeat_interleave(p.offsets.diff())
    values = ops.pair_values(query, torch.cat(pieces), of_query, p.indices, metric=metric)
    total, first = torch.ones_like(p.indices), 0
    for block in pieces:
        with estimated_by(estimate):
            total += ops.count_before(query, block, first, values, p, listed, metric=metric)
        first += len(block)
    ranks = []
    for begin, end in itertools.pairwise(p.offsets.tolist()):
        order = values[begin:end].cpu().numpy().argsort(kind="stable")
        ranks += (total[begin:end].cpu()[order] + torch.arange(end - begin)).tolist()
    return ranks


def draw(q, g, rng=None):
    """Random masks of positives and junk; each contains about a third of the pairs."""
    kind = (rng or np.random.default_rng(0)).integers(0, 3, (q, g))
    return kind == 1, kind == 2
