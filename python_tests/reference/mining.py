"""The hardest positive and negative of every anchor: section 2 of arXiv:1703.07737."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reference.distances import distances


class HardestPairs(NamedTuple):
    """Indices and float64 distances of each anchor; -1 and NaN if there is no candidate."""

    positive: Tensor
    negative: Tensor
    positive_distance: Tensor
    negative_distance: Tensor


def hardest_pairs(
    x, labels, keys=None, key_labels=None, groups=None, key_groups=None, metric="cosine"
) -> HardestPairs:
    """Mine anchor by anchor on the CPU. Without keys, an anchor is not compared with itself."""
    own = keys is None
    if own:
        keys, key_labels, key_groups = x, labels, groups
    x, keys = x.detach().cpu().double(), keys.detach().cpu().double()
    rows = []
    for i in range(len(x)):
        d = np.append(_distances_of(x[i], keys, metric), np.nan)  # d[-1] is NaN, for index -1
        may = np.arange(len(keys)) != i if own else np.ones(len(keys), bool)
        if groups is not None:
            may &= (key_groups != groups[i]).cpu().numpy()
        same = (key_labels == labels[i]).cpu().numpy()
        p = _first_largest(d, np.flatnonzero(may & same))
        n = _first_largest(-d, np.flatnonzero(may & ~same))
        rows.append((p, n, d[p], d[n]))
    p, n, dp, dn = torch.tensor(rows, dtype=torch.float64).reshape(-1, 4).unbind(1)
    return HardestPairs(p.long(), n.long(), dp, dn)


def _distances_of(row: Tensor, keys: Tensor, metric: str) -> np.ndarray:
    """Distances of one row to all keys; NaN if the row or the key is not finite."""
    d = distances(row[None], keys, metric)[0]
    finite = keys.isfinite().all(1) & row.isfinite().all()
    return torch.where(finite, d, torch.nan).numpy()


def _first_largest(values: np.ndarray, candidates: np.ndarray) -> int:
    """The first candidate with the largest value, where NaN is largest; -1 without candidates."""
    return candidates[np.argmax(values[candidates])] if len(candidates) else -1
