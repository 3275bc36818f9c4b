"""Softmax over identities with labels that adapt to the prediction."""

from torch import Tensor, nn

from reid_ext import ops
from reid_ext._runtime.argument_error import named
from reid_ext._runtime.arguments import choice, number

VARIANTS = ("paper", "released")


class AdaptiveLabelSmoothingLoss(nn.Module):
    """Smooth the label of an identity the more, the less the model believes in it.

    Args:
        alpha: Scale of the smoothing, in [0, 1]; 0 is plain cross entropy.
        variant: ``"paper"``, whose labels sum to 1, or ``"released"``, the paper's code, whose
            labels do not quite; :func:`reid_ext.ops.adaptive_label_smoothing_loss` has both.

    Shape:
        logits (N, C), labels (N,) in [0, C); returns a scalar, the mean over the rows; 0 for N = 0.

    Source:
        Zhu et al. 2020, arXiv:1912.01300: L_y. The paper prints 1 / C before the sum over the
        classes; its code has none, and neither has this.
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
