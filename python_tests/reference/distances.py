"""Cosines and distances by definition; differentiable, in the dtype of the features."""

import torch
from torch import Tensor

METRICS = ("cosine", "euclidean", "squared_euclidean")


def unit(x: Tensor) -> Tensor:
    """Rows of length 1; a zero row stays zero and has no gradient."""
    zero = (x == 0).all(-1, keepdim=True)
    return torch.where(zero, 0, x / torch.where(zero, 1, x).norm(dim=-1, keepdim=True))


def cosines(x: Tensor, y: Tensor) -> Tensor:
    """The cosine of every row of x (..., N, D) with every row of y (..., M, D)."""
    return unit(x) @ unit(y).mT


def distances(x: Tensor, y: Tensor, metric: str = "euclidean") -> Tensor:
    """The distances (N, M). The Euclidean distance has no gradient at 0."""
    if metric == "cosine":
        return 1 - cosines(x, y)
    squared = (x[:, None] - y).square().sum(2)
    if metric == "squared_euclidean":
        return squared
    apart = squared > 0
    return torch.where(apart, torch.where(apart, squared, 1).sqrt(), 0)


def order_values(query: Tensor, gallery: Tensor, metric: str) -> Tensor:
    """Values (Q, G) in float64 that order the gallery of each query as the metric does.

    They are exact for the features of module `exact`. The cosine is not divided by the length of
    the query, which does not change the order.
    """
    query, gallery = query.cpu().double(), gallery.cpu().double()
    if metric == "cosine":
        length = gallery.norm(dim=1)
        return -(query @ gallery.T) / torch.where(length == 0, 1, length)
    return torch.cdist(query, gallery, compute_mode="donot_use_mm_for_euclid_dist")
