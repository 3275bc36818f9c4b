"""Batches for mine_hardest, and the comparison of its results with the reference."""

import torch
from reference.distances import METRICS
from reference.mining import hardest_pairs

from reid_ext import ops

__all__ = ["METRICS", "assert_mined", "batch", "check"]


def assert_mined(got, want):
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a.cpu(), b.cpu().to(a.dtype), equal_nan=True)


def check(x, labels, keys=None, key_labels=None, groups=None, key_groups=None, metric="cosine"):
    two_sets = {"keys": keys, "key_labels": key_labels, "key_groups": key_groups}
    got = ops.mine_hardest(x, labels, **two_sets, groups=groups, metric=metric)
    assert got.positive_distance.dtype == (x.dtype if x.dtype == torch.float64 else torch.float32)
    assert_mined(got, hardest_pairs(x, labels, **two_sets, groups=groups, metric=metric))


def batch(rows, dim, device, dtype=torch.float64, identities=None):
    x = torch.randn(rows, dim, device=device, dtype=torch.float64).to(dtype)
    return x, torch.randint(identities or rows // 3 + 1, (rows,), device=device)
