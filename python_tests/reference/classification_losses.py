"""Softmax losses with the adaptive labels of VA-reID, with one value for each row.

The labels are constants, so no gradient flows through them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

TARGETS = ("adaptive", "fixed", "hard")


def smoothed_labels(q: Tensor, labels: Tensor, alpha: float, variant: str) -> Tensor:
    """The labels (N, C) for probabilities q (N, C), by the paper's L_y or by the released code."""
    classes = q.shape[1]
    own = F.one_hot(labels, classes).to(q.dtype)
    if classes == 1:
        return own
    wrong = alpha * (1 - q)
    if variant == "released":
        return own * (1 - wrong) + wrong / (classes - 1)
    wrong = wrong.gather(1, labels[:, None])
    return own * (1 - wrong) + (1 - own) * wrong / (classes - 1)


def label_smoothing(logits: Tensor, labels: Tensor, alpha=0.25, variant="paper") -> Tensor:
    """The loss of adaptive label smoothing, of shape (N,)."""
    log_q = logits.double().log_softmax(1)
    return -(smoothed_labels(log_q.detach().exp(), labels, alpha, variant) * log_q).sum(1)


def viewpoint_labels(
    r: Tensor, labels: Tensor, views: Tensor, present: Tensor, targets: str, alpha: float
) -> Tensor:
    """The labels (N, C, V) for probabilities r (N, C, V) over the (identity, view) pairs."""
    row, number = torch.arange(len(r), device=r.device), present.sum()
    of_identity = present.sum(1)[labels]
    t = torch.zeros_like(r)
    if targets == "adaptive":
        e1 = torch.where(number > of_identity, alpha * (1 - r[row, labels].sum(1)), 0)
        e2 = torch.where(of_identity > 1, alpha * (1 - r[row, labels, views]), 0)
        t += (e1 / (number - of_identity).clamp(min=1))[:, None, None]
        t[row, labels] = (e2 / (of_identity - 1).clamp(min=1))[:, None]
        t[row, labels, views] = 1 - e1 - e2
    elif targets == "fixed":
        t[row, labels] = (0.3 / (of_identity - 1).clamp(min=1))[:, None].to(r.dtype)
        t[row, labels, views] = torch.where(of_identity > 1, 0.6, 0.9).to(r.dtype)
        t += 0.1 / number.clamp(min=1)
    else:
        t[row, labels, views] = 1
    return torch.where(present, t, 0)


def viewpoint(
    logits, labels, views, *, num_views=3, targets="adaptive", present=None, alpha=0.25
) -> Tensor:
    """The loss of the softmax over identities and views, (N,) float64; NaN for an unknown view."""
    known = views >= 0
    z = logits.double().view(len(logits), logits.shape[1] // num_views, num_views)[known]
    if present is None:
        present = torch.ones(z.shape[1:], dtype=torch.bool, device=z.device)
    z = torch.where(present, z, -torch.inf)
    z = z - z.amax((1, 2), keepdim=True).detach()  # avoids cancellation with large logits
    log_r = z - z.flatten(1).logsumexp(1)[:, None, None]
    r = log_r.detach().exp()
    t = viewpoint_labels(r, labels[known], views[known], present, targets, alpha)
    each = logits.new_full((len(logits),), torch.nan, dtype=torch.float64)
    each[known] = -(t * torch.where(present, log_r, 0)).sum((1, 2))
    return each
