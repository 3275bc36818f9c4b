"""Choices inside a formula, and whether rounding could change one of them.

A loss in float32 may take another of two nearly equal distances, or stand on the other side of a
kink. Its gradient is then another one, and both are right. `watched` tells where that is possible.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Choices:
    """Values that differ by no more than `within` count as equal; `clear` is False after one."""

    within: float = 0.0
    clear: bool = True


_choices = Choices()


@contextmanager
def watched(within: float) -> Iterator[Choices]:
    """Note the choices of the formulas that are computed in the block."""
    global _choices
    before, _choices = _choices, Choices(within)
    try:
        yield _choices
    finally:
        _choices = before


def hardest(values: Tensor, among: Tensor, largest: bool, x: Tensor, keys: Tensor) -> Tensor:
    """The largest or smallest value of each row in the mask; of equal ones the first.

    Any of nearly equal values may be chosen, but not if all features are whole numbers and the
    keys are the same: then their products are exact, and so are their ties.
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
    """The values themselves, noting whether one is near where its derivative jumps."""
    _choices.clear &= bool(((values.detach() - kink).abs() > _choices.within).all())
    return values
