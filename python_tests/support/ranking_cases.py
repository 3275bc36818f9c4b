"""What the tests of ranking share: features with exact, often equal distances; a plain sort."""

import contextlib
import itertools
import os

import numpy as np
import torch

from reid_ext import ops


def lists(mask, device="cpu"):
    """Lists of where a (Q, G) mask holds, query by query."""
    mask = np.asarray(mask)
    offsets = np.concatenate([[0], mask.sum(1).cumsum()])
    return ops.Lists(*(torch.tensor(t, device=device) for t in (offsets, np.nonzero(mask)[1])))


def reference(distances, positive, junk):
    """Places of the positives in a stable sort (NaN last) of each row without its junk."""
    ranks = []
    for d, p, j in zip(distances.cpu().double().numpy(), positive, junk, strict=True):
        order = np.argsort(d, kind="stable")
        ranks += (np.flatnonzero(p[order[~j[order]]]) + 1).tolist()
    return ranks


ESTIMATES = ("float32", "bfloat16")


@contextlib.contextmanager
def estimated_by(estimate):
    """Force the products by which the CPU kernels estimate distances."""
    before = os.environ.get("REID_EXT_CPU_ESTIMATE")
    os.environ["REID_EXT_CPU_ESTIMATE"] = estimate
    try:
        yield
    finally:
        del os.environ["REID_EXT_CPU_ESTIMATE"]
        if before is not None:
            os.environ["REID_EXT_CPU_ESTIMATE"] = before


def whole_ranks(query, gallery, positive, junk, metric, estimate):
    """Ranks in a gallery in memory, from masks (Q, G)."""
    of_masks = lists(positive, query.device), lists(junk, query.device)
    with estimated_by(estimate):
        return ops.rank_positives(query, gallery, *of_masks, metric=metric).tolist()


def streamed_ranks(query, pieces, positive, junk, metric, estimate="float32"):
    """Ranks in a gallery in blocks by the ops themselves, from masks (Q, G)."""
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


def distances(query, gallery, metric):
    """In float64; where features are small integers, or corners for cosine, exact."""
    query, gallery = query.cpu().double(), gallery.cpu().double()
    if metric == "cosine":
        norms = gallery.norm(dim=1)
        return -(query @ gallery.T) / torch.where(norms == 0, 1, norms)
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cdist(query, gallery, compute_mode=mode)


def draw(q, g, rng=None):
    """Which gallery images are a query's positives and which are its junk: about a third each."""
    kind = (rng or np.random.default_rng(0)).integers(0, 3, (q, g))
    return kind == 1, kind == 2


def whole(rows, dim, device, dtype=torch.float64):
    """Rows of small integers: distances are exact in any order, and often equal."""
    return torch.randint(-2, 3, (rows, dim), device=device).to(dtype)


def corners(rows, dim, device, dtype=torch.float64):
    """Rows of -1 and 1. With dim a power of 4 their cosines are exact too."""
    return whole(rows, dim, device).ge(0).to(dtype) * 2 - 1
