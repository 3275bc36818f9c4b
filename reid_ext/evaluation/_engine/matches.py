"""Which gallery images count for a query and which are junk: lists in CSR form, from labels.

Vectorised on the labels' device; the order within a query is that of the gallery.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext.ops import Lists


def equal_labels(query: Tensor, gallery: Tensor) -> Lists:
    """The gallery indices whose label equals that of each query; labels (Q,) and (G,) int64."""
    order = torch.argsort(gallery, stable=True)
    ordered = gallery[order]
    query = query.contiguous()
    first = torch.searchsorted(ordered, query)
    counts = torch.searchsorted(ordered, query, right=True) - first
    offsets = F.pad(counts.cumsum(0), (1, 0))
    position = torch.repeat_interleave(first - offsets[:-1], counts)  # in `ordered`, less the entry
    entry = torch.arange(len(position), device=query.device)
    return Lists(offsets, order[position + entry])


def rows(lists: Lists) -> Tensor:
    """The query of each entry, (P,)."""
    return torch.repeat_interleave(lists.offsets.diff())


def keep(lists: Lists, mask: Tensor) -> Lists:
    """The entries where the mask (P,) is true."""
    kept_before = F.pad(mask.cumsum(0), (1, 0))
    return Lists(kept_before[lists.offsets], lists.indices[mask])


def split_by(lists: Lists, query: Tensor, gallery: Tensor) -> tuple[Lists, Lists]:
    """The entries whose second labels differ between query and gallery, and those that agree."""
    agree = query[rows(lists)] == gallery[lists.indices]
    return keep(lists, ~agree), keep(lists, agree)
