"""Batches for FIDI, and the comparison of its gradients."""

import torch

DTYPES = [torch.float32, torch.float64]


def batch(rows, dim, device, dtype=torch.float64, identities=None):
    x = torch.randn(rows, dim, device=device, dtype=torch.float64).to(dtype)
    return x, torch.randint(identities or rows // 3 + 1, (rows,), device=device)


def assert_matches(got, want, leaves, **tolerance):
    torch.testing.assert_close(got, want.to(got.dtype), **tolerance)
    grads, wanted = (torch.autograd.grad(loss, leaves) for loss in (got, want))
    torch.testing.assert_close(grads, wanted, **tolerance)
