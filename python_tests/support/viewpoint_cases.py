"""Batches for VA-reID's viewpoint softmax."""

import torch

ALPHA = 0.25


def batch(rows, identities, num_views, device, dtype=torch.float64, masked=False):
    """Logits, labels and views. If masked, `present` lacks about 40 % of the unused classes."""
    logits = 3 * torch.randn(rows, identities * num_views, device=device, dtype=torch.float64)
    labels = torch.randint(identities, (rows,), device=device)
    views = torch.randint(num_views, (rows,), device=device)
    present = torch.rand(identities, num_views, device=device) < 0.6 if masked else None
    if present is not None:
        present[labels, views] = True
    return logits.to(dtype), labels, views, present
