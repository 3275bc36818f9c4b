"""Circle loss: weights each similarity by its distance from the optimum."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_ext import ops
from reid_ext._runtime.arguments import number
from reid_ext.losses._inputs import ANCHOR, warn_if_none
from reid_ext.losses._pairs import mean_over, pairs_of


class CircleLoss(nn.Module):
    """Circle loss: weights each cosine by its distance from the optimum.

    For an anchor with positive cosines s_p and negative cosines s_n::

        log(1 + sum_n exp(gamma a_n (s_n - m)) * sum_p exp(-gamma a_p (s_p - 1 + m)))
        a_n = max(s_n + m, 0),  a_p = max(1 + m - s_p, 0)

    The weights a_n and a_p count as constants in the gradient.

    Args:
        margin: The relaxation m. Default: 0.25, as in the paper's re-identification experiments.
        gamma: The scale, greater than 0. Default: 128, as in the same experiments.

    Shape:
        - features: (N, D).
        - labels: (N,), any integer dtype.
        - keys (optional): (M, D), such as a memory bank. The features are then compared with the
          keys instead of with each other.
        - key_labels: (M,), required when keys are given.
        - Returns: a scalar, the mean over the anchors that have both a positive and a negative;
          float32 for half inputs. If no anchor has both, the loss and its gradient are zero. The
          loss stores N x M cosines.

    Source:
        Sun et al. 2020, arXiv:2002.10857, eq. 6 and sec. 3.3.

    Examples:
        >>> import torch
        >>> from reid_ext.losses import CircleLoss
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> right, wrong = torch.tensor([7, 7, 8, 8]), torch.tensor([7, 8, 7, 8])
        >>> loss = CircleLoss()
        >>> bool(loss(x, right) < loss(x, wrong))
        True
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
        counts = positive.any(1) & negative.any(1)
        warn_if_none(self, counts, ANCHOR)
        return mean_over(loss, counts)


def log_sum_exp(values: Tensor, among: Tensor) -> Tensor:
    """Return the log-sum-exp of each row's values in the mask.

    The value of a row without values in the mask is finite and has no meaning.
    """
    some = among.any(1, keepdim=True)
    masked = values.masked_fill(~among, -torch.inf)
    return torch.where(some, masked, 0).logsumexp(1)
