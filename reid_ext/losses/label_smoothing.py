"""Cross entropy over identities with adaptive label smoothing."""

from torch import Tensor, nn

from reid_ext import ops
from reid_ext._runtime.argument_error import named
from reid_ext._runtime.arguments import choice, number

VARIANTS = ("paper", "released")


class AdaptiveLabelSmoothingLoss(nn.Module):
    """Cross entropy with labels that are smoothed more for a worse prediction.

    Args:
        alpha: Strength of the smoothing, in [0, 1]. Default: 0.25. With 0 the loss is the plain
            cross entropy.
        variant: ``"paper"``, with labels that sum to 1, or ``"released"`` (the paper's code), with
            labels that sum to slightly more than 1. Default: ``"paper"``.
            :func:`reid_ext.ops.adaptive_label_smoothing_loss` documents both.

    Shape:
        - logits: (N, C).
        - labels: (N,), any integer dtype, in [0, C).
        - Returns: a scalar, the mean over the rows, which is 0 for N = 0.

    Source:
        Zhu et al. 2020, arXiv:1912.01300, loss L_y. The paper has a factor 1 / C before the sum
        over the classes. Its code does not have this factor, and this class follows the code.

    Examples:
        >>> import torch
        >>> from reid_ext.losses import AdaptiveLabelSmoothingLoss
        >>> loss = AdaptiveLabelSmoothingLoss()
        >>> loss(torch.zeros(1, 3), torch.tensor([0]))  # uniform prediction: log(3)
        tensor(1.0986)
    """

    def __init__(self, alpha: float = 0.25, variant: str = "paper"):
        super().__init__()
        function = "AdaptiveLabelSmoothingLoss"
        self.alpha = number(function, "alpha", alpha, 0, 1)
        self.variant = choice(function, "variant", variant, VARIANTS)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, variant={self.variant!r}"

    @named()
    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return ops.adaptive_label_smoothing_loss(
            logits, labels, alpha=self.alpha, variant=self.variant
        )
