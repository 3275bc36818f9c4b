"""Contrastive loss over all pairs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_ext.losses._numbers import is_number
from reid_ext.losses._pairs import mean_over, positives_and_negatives
from reid_ext.ops._contract import computed


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
        if not (is_number(margin) and margin > 0):
            raise ValueError(f"ContrastiveLoss: margin must be above 0, got {margin}")
        self.margin = margin

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        *,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
    ) -> Tensor:
        positive, negative = positives_and_negatives(
            "ContrastiveLoss", features, labels, keys, key_labels
        )
        x = computed("ContrastiveLoss: features", features)
        y = x if keys is None else computed("ContrastiveLoss: keys", keys)
        # by differences: the product's rounding would give coincident rows a gradient
        distance = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
        near = F.relu(self.margin - distance)
        losses = torch.where(positive, distance, near).square() / 2
        return mean_over(losses, positive | negative)
