"""FIDI loss over all pairs of a batch, or of a batch and a memory."""

from torch import Tensor, nn

from reid_ext import ops
from reid_ext._runtime.argument_error import named
from reid_ext._runtime.arguments import choice, flag, number


class FIDILoss(nn.Module):
    """Make the similarity of every pair agree with its identities; no pair costs without bound.

    Args:
        alpha: Above 1. The nearer to 1, the more a wrong pair can cost.
        beta: Above 0, per unit of distance: how fast the similarity falls.
        normalize: Divide every row by its length first.
        aggregation: ``"mean"`` over the pairs, or ``"sum"``.

    Shape:
        features (N, D), labels (N,); returns a scalar over all ordered pairs of two rows. With keys
        (M, D) and key_labels (M,), such as a memory of past features, over all rows and keys. No
        pair: 0 with zero gradient.

    Source:
        Yan et al. 2022, IEEE TMM 24, arXiv:2009.10295.
    """

    def __init__(
        self,
        alpha: float = 1.05,
        beta: float = 0.5,
        normalize: bool = False,
        aggregation: str = "mean",
    ):
        super().__init__()
        self.alpha = number("FIDILoss", "alpha", alpha, above=1)
        self.beta = number("FIDILoss", "beta", beta, above=0)
        self.normalize = flag("FIDILoss", "normalize", normalize)
        self.aggregation = choice("FIDILoss", "aggregation", aggregation, ops.FIDI_AGGREGATIONS)

    def extra_repr(self) -> str:
        numbers = f"alpha={self.alpha}, beta={self.beta}"
        return f"{numbers}, normalize={self.normalize}, aggregation={self.aggregation!r}"

    @named(x="features")
    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
    ) -> Tensor:
        return ops.fidi_loss(
            features,
            labels,
            keys=keys,
            key_labels=key_labels,
            alpha=self.alpha,
            beta=self.beta,
            normalize=self.normalize,
            aggregation=self.aggregation,
        )
