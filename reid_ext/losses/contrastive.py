"""Contrastive loss over all pairs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_ext._runtime.arguments import number
from reid_ext.losses._pairs import mean_over, pairs_of


class ContrastiveLoss(nn.Module):
    """Draw pairs of one identity together, and push pairs of two at least a margin apart.

    ``d^2 / 2`` for a pair of one identity, ``max(margin - d, 0)^2 / 2`` for a pair of two, d the
    Euclidean distance; the mean over all ordered pairs.

    Args:
        margin: Above 0, in units of the distance.

    Shape:
        features (N, D), labels (N,); keys (M, D), key_labels (M,): what to pair the features with
        instead of each other. Returns a scalar, float32 for half inputs, 0 with zero gradient where
        there is no pair. Holds N x M distances.

    Source:
        Hadsell et al. 2006, "Dimensionality Reduction by Learning an Invariant Mapping", eq. 4.
    """

    def __init__(self, margin: float = 1.0):
        super().__init__()
        self.margin = number("ContrastiveLoss", "margin", margin, above=0)

    def extra_repr(self) -> str:
        return f"margin={self.margin}"

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        *,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
    ) -> Tensor:
        x, y, positive, negative = pairs_of("ContrastiveLoss", features, labels, keys, key_labels)
        y = x if y is None else y
        # by differences: the product's rounding would give coincident rows a gradient
        distance = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
        near = F.relu(self.margin - distance)
        losses = torch.where(positive, distance, near).square() / 2
        return mean_over(losses, positive | negative)
