"""Circle loss: similarities weighted by how far they are from their optimum."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_ext import ops
from reid_ext._runtime.arguments import number
from reid_ext.losses._pairs import mean_over, pairs_of


class CircleLoss(nn.Module):
    """Raise the cosines of one identity and lower those of two, the worst ones hardest.

    For an anchor with positive cosines s_p and negative cosines s_n::

        log(1 + sum_n exp(gamma a_n (s_n - m)) * sum_p exp(-gamma a_p (s_p - 1 + m)))
        a_n = max(s_n + m, 0),  a_p = max(1 + m - s_p, 0), constants in the gradient

    Args:
        margin: m, the relaxation; 0.25 in the paper's re-identification experiments.
        gamma: The scale; 128 there.

    Shape:
        features (N, D), labels (N,); keys (M, D), key_labels (M,): what to compare the features
        with instead of each other. Returns a scalar, the mean over the anchors with a positive and
        a negative, float32 for half inputs; 0 with zero gradient where there is none. Holds N x M
        cosines.

    Source:
        Sun et al. 2020, arXiv:2002.10857, eq. 6 and sec. 3.3.
    """

    def __init__(self, margin: float = 0.25, gamma: float = 128.0):
        super().__init__()
        self.margin = number("CircleLoss", "margin", margin)
        self.gamma = number("CircleLoss", "gamma", gamma, above=0)

    def extra_repr(self) -> str:
        return f"margin={self.margin}, gamma={self.gamma}"

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        *,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
    ) -> Tensor:
        x, y, positive, negative = pairs_of("CircleLoss", features, labels, keys, key_labels)
        cosine = ops.cosine_matrix(x, y)
        m, constant = self.margin, cosine.detach()
        pull = -self.gamma * F.relu(1 + m - constant) * (cosine - 1 + m)
        push = self.gamma * F.relu(constant + m) * (cosine - m)
        loss = F.softplus(log_sum_exp(pull, positive) + log_sum_exp(push, negative))
        return mean_over(loss, positive.any(1) & negative.any(1))


def log_sum_exp(values: Tensor, among: Tensor) -> Tensor:
    """Over each row's values in the mask; 0 where there are none, with zero gradient."""
    some = among.any(1, keepdim=True)
    masked = values.masked_fill(~among, -torch.inf)
    return torch.where(some, masked, 0).logsumexp(1)
