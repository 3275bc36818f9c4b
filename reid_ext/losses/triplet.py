"""Triplet loss with batch-hard mining."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_ext import ops
from reid_ext._runtime.argument_error import named
from reid_ext._runtime.arguments import choice, number
from reid_ext.losses._inputs import ANCHOR, warn_if_none


class TripletLoss(nn.Module):
    """Batch-hard triplet loss: compares each anchor's hardest positive and hardest negative.

    The loss of an anchor is ``max(d_ap - d_an + margin, 0)``, where d_ap and d_an are the distances
    to its farthest positive and to its nearest negative.

    Args:
        margin: Non-negative, in units of the distance. With None, the soft margin
            ``log(1 + exp(d_ap - d_an))`` is used. Default: 0.3.
        metric: ``"euclidean"``, ``"squared_euclidean"`` or ``"cosine"`` (1 - cos).
            Default: ``"euclidean"``.

    Shape:
        - features: (N, D).
        - labels: (N,), any integer dtype.
        - keys (optional): (M, D), such as a memory bank. The features are then compared with the
          keys instead of with each other.
        - key_labels: (M,), required when keys are given.
        - Returns: a scalar, the mean over the anchors that have both a positive and a negative. If
          no anchor has both, the loss and its gradient are zero.

    Source:
        Hermans et al. 2017, arXiv:1703.07737.

    Examples:
        >>> import torch
        >>> from reid_ext.losses import TripletLoss
        >>> x = torch.tensor([[0.0], [2.0], [3.0], [5.0]])
        >>> TripletLoss(margin=0.5)(x, torch.tensor([7, 7, 8, 8]))  # (0 + 1.5 + 1.5 + 0) / 4
        tensor(0.7500)
    """

    def __init__(self, margin: float | None = 0.3, metric: str = "euclidean"):
        super().__init__()
        self.margin = None if margin is None else number("TripletLoss", "margin", margin, 0)
        self.metric = choice("TripletLoss", "metric", metric, ops.METRICS)

    def extra_repr(self) -> str:
        return f"margin={self.margin}, metric={self.metric!r}"

    @named(x="features")
    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        *,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
    ) -> Tensor:
        hardest = ops.mine_hardest(
            features, labels, keys=keys, key_labels=key_labels, metric=self.metric
        )
        counts = (hardest.positive >= 0) & (hardest.negative >= 0)
        warn_if_none(self, counts, ANCHOR)
        gap = hardest.positive_distance - hardest.negative_distance
        gap = torch.where(counts, gap, 0)  # NaN without a pair, also in the gradient
        loss = F.softplus(gap) if self.margin is None else F.relu(gap + self.margin)
        return (loss * counts).sum() / counts.sum().clamp(min=1)
