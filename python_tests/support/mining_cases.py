"""mine_hardest by definition, and batches for it."""

import numpy as np
import torch
import torch.nn.functional as F

from reid_ext import ops

METRICS = ["cosine", "euclidean", "squared_euclidean"]


def one_to_all(x, keys, metric):
    """Distances of one row to all, NaN where a row is not finite."""
    if metric == "cosine":
        d = 1 - F.normalize(keys, dim=1) @ F.normalize(x, dim=0)
    else:
        d = (keys - x).square().sum(1)
        d = d.sqrt() if metric == "euclidean" else d
    finite = keys.isfinite().all(1) & x.isfinite().all()
    return torch.where(finite, d, torch.nan).numpy()


def first_of_most(values, candidates):
    """The lowest candidate of the largest value, NaN above all; -1 without candidates."""
    return candidates[np.argmax(values[candidates])] if len(candidates) else -1


def reference(x, labels, keys=None, key_labels=None, groups=None, key_groups=None, metric="cosine"):
    """Sec. 2 of arXiv:1703.07737, in float64 on the CPU."""
    own = keys is None
    if own:
        keys, key_labels, key_groups = x, labels, groups
    x, keys = x.detach().cpu().double(), keys.detach().cpu().double()
    rows = []
    for i in range(len(x)):
        d = np.append(one_to_all(x[i], keys, metric), np.nan)  # d[-1]: no key
        may = np.arange(len(keys)) != i if own else np.ones(len(keys), bool)
        if groups is not None:
            may &= (key_groups != groups[i]).cpu().numpy()
        same = (key_labels == labels[i]).cpu().numpy()
        p = first_of_most(d, np.flatnonzero(may & same))
        n = first_of_most(-d, np.flatnonzero(may & ~same))
        rows.append((p, n, d[p], d[n]))
    p, n, dp, dn = torch.tensor(rows, dtype=torch.float64).reshape(-1, 4).unbind(1)
    return ops.HardestPairs(p.long(), n.long(), dp, dn)


def assert_mined(got, want):
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a.cpu(), b.cpu().to(a.dtype), equal_nan=True)


def check(x, labels, keys=None, key_labels=None, groups=None, key_groups=None, metric="cosine"):
    two_sets = {"keys": keys, "key_labels": key_labels, "key_groups": key_groups}
    got = ops.mine_hardest(x, labels, **two_sets, groups=groups, metric=metric)
    assert got.positive_distance.dtype == (x.dtype if x.dtype == torch.float64 else torch.float32)
    assert_mined(got, reference(x, labels, **two_sets, groups=groups, metric=metric))


def batch(rows, dim, device, dtype=torch.float64, identities=None):
    x = torch.randn(rows, dim, device=device, dtype=torch.float64).to(dtype)
    return x, torch.randint(identities or rows // 3 + 1, (rows,), device=device)
