"""VA-reID's viewpoint softmax by definition, and batches for it."""

import torch

TARGETS = ["adaptive", "fixed", "hard"]


ALPHA = 0.25


def label_row(r, y, v, present, targets):
    """The labels of one row of identity y and view v, whose probabilities r are (C, V)."""
    classes, views = present.sum(), present[y].sum()
    t = torch.zeros_like(r)
    if targets == "adaptive":
        e1 = ALPHA * (1 - r[y].sum()) if classes > views else 0
        e2 = ALPHA * (1 - r[y, v]) if views > 1 else 0
        t[:] = e1 / (classes - views)
        t[y] = e2 / (views - 1)
        t[y, v] = 1 - e1 - e2
    elif targets == "fixed":
        t[y] = 0.3 / (views - 1)
        t[y, v] = 0.6 if views > 1 else 0.9
        t += 0.1 / classes
    else:
        t[y, v] = 1
    return torch.where(present, t, 0)


def reference(logits, labels, views, *, num_views=3, targets="adaptive", present=None):
    """Each row's loss in float64, with the labels as constants; NaN where it does not count."""
    logits = logits.double()
    identities = logits.shape[1] // num_views
    if present is None:
        present = torch.ones(identities, num_views, dtype=torch.bool, device=logits.device)
    rows = [logits.sum() * 0 + torch.nan] * len(logits)
    for i in (views >= 0).nonzero()[:, 0].tolist():
        z = logits[i].view(identities, num_views)
        z = z - z[present].max()  # as large logits swallow the logarithm of a sum
        log_r = (z - z[present].logsumexp(0)).masked_fill(~present, 0)
        r = torch.where(present, log_r.detach().exp(), 0)
        rows[i] = -(label_row(r, labels[i], views[i], present, targets) * log_r).sum()
    return torch.stack(rows) if rows else logits.sum(1)


def batch(rows, identities, num_views, device, dtype=torch.float64, masked=False):
    """Logits, labels and views; `present` lacks about a third of the classes, no row's own."""
    logits = 3 * torch.randn(rows, identities * num_views, device=device, dtype=torch.float64)
    labels = torch.randint(identities, (rows,), device=device)
    views = torch.randint(num_views, (rows,), device=device)
    present = torch.rand(identities, num_views, device=device) < 0.6 if masked else None
    if present is not None:
        present[labels, views] = True
    return logits.to(dtype), labels, views, present
