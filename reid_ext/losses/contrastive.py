"""Contrastive loss over all pairs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_ext._runtime.arguments import number
from reid_ext.losses._inputs import warn_if_none
from reid_ext.losses._pairs import mean_over, pairs_of


class ContrastiveLoss(nn.Module):
    """Contrastive loss: the mean over all ordered pairs, by Euclidean distance d.

    The loss is ``d^2 / 2`` for a pair of the same identity and ``max(margin - d, 0)^2 / 2`` for a
    pair of two identities.

    Args:
        margin: Greater than 0, in units of the distance. Default: 1.

    Shape:
        - features: (N, D).
        - labels: (N,), any integer dtype.
        - keys (optional): (M, D), such as a memory bank. The features are then paired with the
          keys instead of with each other.
        - key_labels: (M,), required when keys are given.
        - Returns: a scalar, float32 for half inputs. If there is no pair, the loss and its gradient
          are zero. The loss stores N x M distances.

    Source:
        Hadsell et al. 2006, "Dimensionality Reduction by Learning an Invariant Mapping", eq. 4.

    Examples:
        >>> import torch
        >>> from reid_ext.losses import ContrastiveLoss
        >>> x = torch.tensor([[0.0], [2.0]])
        >>> loss = ContrastiveLoss(margin=3.0)
        >>> loss(x, torch.tensor([7, 7]))  # 2^2 / 2
        tensor(2.)
        >>> loss(x, torch.tensor([7, 8]))  # (3 - 2)^2 / 2
        tensor(0.5000)
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
        # Computed from differences: rounding in a product would give equal rows a gradient.
        distance = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
        near = F.relu(self.margin - distance)
        losses = torch.where(positive, distance, near).square() / 2
        counts = positive | negative
        warn_if_none(self, counts, "pair")
        return mean_over(losses, counts)
