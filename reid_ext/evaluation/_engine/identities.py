"""Ranks of identities by their nearest image: the CMC of SYSU-MM01 and LLCM."""

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext.evaluation._engine.pairs import Matches, Side, query_of

QUERY_BLOCK = 1024


def first_ranks(keys: Tensor, matches: Matches, gallery: Side) -> Tensor:
    """Return the rank of the first match among the nearest images of all identities, (Q,).

    This is 1 plus the number of identities with an image before the first match. Equal keys are
    ordered by gallery row, and NaN is last. For a query without a match the value is undefined.

    Args:
        keys: Order keys (Q, G), smaller first.
        matches: Positives and junk; the lists index the columns of ``keys``.
        gallery: The images of the columns.
    """
    columns = torch.arange(keys.shape[1], device=keys.device)
    first = _first_matches(keys, matches)
    threshold = keys.gather(1, first[:, None])
    _, identity = gallery["identities"].to(keys.device).unique(return_inverse=True)
    is_identity = F.one_hot(identity).float()  # (G, identities)
    of_junk, junk = query_of(matches.junk), matches.junk
    ranks = []
    for start in range(0, len(keys), QUERY_BLOCK):
        block = slice(start, min(start + QUERY_BLOCK, len(keys)))
        d, t, before = keys[block], threshold[block], columns < first[block, None]
        closer = (d < t) | (before & (d == t)) | (t.isnan() & (before | ~d.isnan()))
        here = slice(int(junk.offsets[block.start]), int(junk.offsets[block.stop]))
        closer[of_junk[here] - start, junk.indices[here]] = False
        images_before = closer.float() @ is_identity  # integers, so the product is exact
        ranks.append((images_before > 0).sum(1) + 1)
    return torch.cat(ranks)


def _first_matches(keys: Tensor, matches: Matches) -> Tensor:
    """Return the column of each query's nearest match, (Q,), or any column without a match."""
    positives = matches.positives
    query = query_of(positives)
    by_key = keys[query, positives.indices].argsort(stable=True)  # NaN last
    by_query = by_key[query[by_key].argsort(stable=True)]
    starts = positives.offsets[:-1].clamp(max=len(query) - 1)
    return positives.indices[by_query[starts]]
