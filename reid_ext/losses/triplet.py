"""Batch-hard triplet loss on a distance."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_ext import ops
from reid_ext._runtime.argument_error import named
from reid_ext._runtime.arguments import choice, number


class TripletLoss(nn.Module):
    """Keep each anchor's hardest negative farther than its hardest positive, by a margin.

    Args:
        margin: Non-negative, in units of the distance: ``max(d_ap - d_an + margin, 0)``. None is
            the soft margin, ``log(1 + exp(d_ap - d_an))``.
        metric: ``"euclidean"``, ``"squared_euclidean"`` or ``"cosine"`` (1 - cos).

    Shape:
        features (N, D), labels (N,); keys (M, D), key_labels (M,): what to compare the features
        with, such as a memory bank, instead of themselves. Returns a scalar, the mean over the
        anchors that have both a positive and a negative. If no anchor has both, the loss and
        its gradient are zero.

    Source:
        Hermans et al. 2017, arXiv:1703.07737.
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
        gap = hardest.positive_distance - hardest.negative_distance
        gap = torch.where(counts, gap, 0)  # NaN where a side lacks, also in the gradient
        loss = F.softplus(gap) if self.margin is None else F.relu(gap + self.margin)
        return (loss * counts).sum() / counts.sum().clamp(min=1)
