"""FIDI loss over all pairs within a batch, or between a batch and a memory."""

import torch
from torch import Tensor, nn

from reid_ext import ops
from reid_ext._runtime.argument_error import named
from reid_ext._runtime.arguments import choice, flag, number
from reid_ext.losses._inputs import warn_if_none


class FIDILoss(nn.Module):
    """FIDI loss: a pairwise loss with a bounded value for every pair.

    :func:`reid_ext.ops.fidi_loss` documents the formula.

    Args:
        alpha: Greater than 1. A value closer to 1 allows a larger loss for a wrong pair.
            Default: 1.05.
        beta: Greater than 0, per unit of distance. It sets how fast the similarity decreases with
            the distance. Default: 0.5.
        normalize: Divide every row by its Euclidean norm first. Default: False.
        aggregation: ``"mean"`` over the pairs, or ``"sum"``. Default: ``"mean"``.

    Shape:
        - features: (N, D).
        - labels: (N,), any integer dtype.
        - keys (optional): (M, D), such as a memory of past features. The pairs are then all rows
          with all keys, instead of all ordered pairs of two rows.
        - key_labels: (M,), required when keys are given.
        - Returns: a scalar. If there is no pair, the loss and its gradient are zero.

    Source:
        Yan et al. 2022, IEEE TMM 24, arXiv:2009.10295.

    Examples:
        >>> import torch
        >>> from reid_ext.losses import FIDILoss
        >>> x = torch.tensor([[0.0], [0.0], [9.0], [9.0]])
        >>> right, wrong = torch.tensor([7, 7, 8, 8]), torch.tensor([7, 8, 7, 8])
        >>> loss = FIDILoss()
        >>> bool(loss(x, right) < loss(x, wrong))
        True
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
        loss = ops.fidi_loss(
            features,
            labels,
            keys=keys,
            key_labels=key_labels,
            alpha=self.alpha,
            beta=self.beta,
            normalize=self.normalize,
            aggregation=self.aggregation,
        )
        others = len(features) - 1 if keys is None else len(keys)
        warn_if_none(self, torch.tensor(len(features) > 0 and others > 0), "pair")
        return loss
