"""FIDI by definition, and batches for it."""

import torch
import torch.nn.functional as F

DTYPES = [torch.float32, torch.float64]


def divergence(p, q, alpha):
    """D(p || q) = p log(alpha p / ((alpha - 1) p + q)), with 0 log 0 = 0."""
    inside = torch.where(p == 0, 1, alpha * p / ((alpha - 1) * p + q))
    return p * inside.log()


def reference(
    x, labels, keys=None, key_labels=None, alpha=1.05, beta=0.5, normalize=False, aggregation="mean"
):
    """arXiv:2009.10295: D(U || K) + D(K || U) over the pairs, in float64."""
    own = keys is None
    x = F.normalize(x.double(), dim=1) if normalize else x.double()
    if own:
        keys, key_labels = x, labels
    else:
        keys = F.normalize(keys.double(), dim=1) if normalize else keys.double()
    pairs = torch.ones(len(x), len(keys), dtype=torch.bool, device=x.device)
    i, j = (pairs.fill_diagonal_(False) if own else pairs).nonzero().unbind(1)
    u = torch.exp(-beta * (x[i] - keys[j]).norm(dim=1))
    k = (labels[i] == key_labels[j]).double()
    each = divergence(u, k, alpha) + divergence(k, u, alpha)
    return each.sum() / (max(len(each), 1) if aggregation == "mean" else 1)


def batch(rows, dim, device, dtype=torch.float64, identities=None):
    x = torch.randn(rows, dim, device=device, dtype=torch.float64).to(dtype)
    return x, torch.randint(identities or rows // 3 + 1, (rows,), device=device)


def assert_matches(got, want, leaves, **tolerance):
    torch.testing.assert_close(got, want.to(got.dtype), **tolerance)
    grads, wanted = (torch.autograd.grad(loss, leaves) for loss in (got, want))
    torch.testing.assert_close(grads, wanted, **tolerance)
