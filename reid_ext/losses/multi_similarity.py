"""Multi-similarity loss, including its pair mining."""

import torch
from torch import Tensor, nn

from reid_ext import ops
from reid_ext._runtime.arguments import number
from reid_ext.losses._inputs import ANCHOR, warn_if_none
from reid_ext.losses._pairs import mean_over, pairs_of


class MultiSimilarityLoss(nn.Module):
    """Multi-similarity loss: weights a pair by its cosine and by the anchor's other pairs.

    For an anchor whose mined pairs have the positive cosines s_p and negative cosines s_n::

        log(1 + sum_p exp(-alpha (s_p - base))) / alpha
        + log(1 + sum_n exp(beta (s_n - base))) / beta

    A negative is mined if ``s_n + epsilon > min s_p`` over all positives of the anchor. A positive
    is mined if ``s_p - epsilon < max s_n`` over all negatives of the anchor.

    Args:
        alpha: Sharpness for positives, greater than 0. Default: 2, as in the paper.
        beta: Sharpness for negatives, greater than 0. Default: 50, as in the paper.
        base: The cosine that both terms are centred on, lambda in the paper. Default: 0.5.
        epsilon: Slack of the mining. Default: 0.1, as in the paper.

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
        Wang et al. 2019, arXiv:1904.06627, eq. 11, 12 and 15.

    Examples:
        >>> import torch
        >>> from reid_ext.losses import MultiSimilarityLoss
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> loss = MultiSimilarityLoss()
        >>> loss(x, torch.tensor([7, 7, 8, 8]))  # no pair is hard enough to be mined
        tensor(0.)
        >>> bool(loss(x, torch.tensor([7, 8, 7, 8])) > 0)
        True
    """

    def __init__(
        self, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5, epsilon: float = 0.1
    ):
        super().__init__()
        function = "MultiSimilarityLoss"
        self.alpha = number(function, "alpha", alpha, above=0)
        self.beta = number(function, "beta", beta, above=0)
        self.base = number(function, "base", base)
        self.epsilon = number(function, "epsilon", epsilon)

    def extra_repr(self) -> str:
        weights = f"alpha={self.alpha}, beta={self.beta}"
        return f"{weights}, base={self.base}, epsilon={self.epsilon}"

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        *,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
    ) -> Tensor:
        x, y, positive, negative = pairs_of(
            "MultiSimilarityLoss", features, labels, keys, key_labels
        )
        counts = positive.any(1) & negative.any(1)
        warn_if_none(self, counts, ANCHOR)
        cosine = ops.cosine_matrix(x, y)
        constant = cosine.detach()
        least = _extreme(constant, positive, torch.inf).amin(1, keepdim=True)
        most = _extreme(constant, negative, -torch.inf).amax(1, keepdim=True)
        # Comparisons with NaN are False, so "not easy" keeps NaN where "hard" would drop it.
        hard_positive = positive & ~(constant - self.epsilon >= most)
        hard_negative = negative & ~(constant + self.epsilon <= least)
        pull = _log_1_plus_sum(-self.alpha * (cosine - self.base), hard_positive) / self.alpha
        push = _log_1_plus_sum(self.beta * (cosine - self.base), hard_negative) / self.beta
        return mean_over(pull + push, counts)


def _extreme(values: Tensor, among: Tensor, otherwise: float) -> Tensor:
    """Replace values outside the mask ``among`` by ``otherwise``, and append a column of it.

    With that column, the minimum or maximum of a row without values in the mask is ``otherwise``.
    """
    column = values.new_full((len(values), 1), otherwise)
    return torch.cat([values.masked_fill(~among, otherwise), column], 1)


def _log_1_plus_sum(exponents: Tensor, among: Tensor) -> Tensor:
    """Return ``log(1 + sum exp)`` of each row's exponents in the mask, without overflow."""
    zero = exponents.new_zeros(len(exponents), 1)
    return torch.cat([exponents.masked_fill(~among, -torch.inf), zero], 1).logsumexp(1)
