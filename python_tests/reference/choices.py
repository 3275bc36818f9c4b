"""Records whether rounding could change a choice inside a formula.

A loss in float32 may select the other of two nearly equal distances, or evaluate the other side of
a kink. Its gradient then differs from the float64 gradient, and both are correct. `watched` reports
where this is possible.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Choices:
    """Whether all choices were clear; values that differ by at most `within` count as equal."""

    within: float = 0.0
    clear: bool = True


_choices = Choices()


@contextmanager
def watched(within: float) -> Iterator[Choices]:
    """Record the choices of the formulas that are computed in the block."""
    global _choices
    before, _choices = _choices, Choices(within)
    try:
        yield _choices
    finally:
        _choices = before


def hardest(values: Tensor, among: Tensor, largest: bool, x: Tensor, keys: Tensor) -> Tensor:
    """The largest or smallest value of each row in the mask; the first of equal ones.

    A choice between nearly equal values is not clear. It is clear if all features are integers and
    the keys are duplicates, because their products, and therefore the ties, are exact.
    """
    sign = 1 if largest else -1
    seen = torch.where(among, sign * values.detach(), -torch.inf)
    near = among & (seen >= seen.amax(1, keepdim=True) - _choices.within)
    first = near.int().argmax(1)
    if bool((near.sum(1) > 1).any()):
        x, keys = x.detach(), keys.detach()
        exact = bool((x == x.round()).all() and (keys == keys.round()).all())
        name = keys.unique(dim=0, return_inverse=True)[1]
        _choices.clear &= exact and not bool((near & (name != name[first][:, None])).any())
    return values.gather(1, first[:, None])[:, 0]


def away_from_kink(values: Tensor, kink: float | Tensor = 0.0) -> Tensor:
    """Return the values and record whether one of them is near the kink."""
    _choices.clear &= bool(((values.detach() - kink).abs() > _choices.within).all())
    return values
