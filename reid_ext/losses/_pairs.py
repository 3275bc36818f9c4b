"""Positive and negative pairs within a batch, or between a batch and a memory."""

from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext.losses._inputs import read_batch


class Pairs(NamedTuple):
    """Features (N, D) and keys (M, D), and boolean masks (N, M) of their pairs.

    If ``keys`` is None, M is N and no row is paired with itself.
    """

    features: Tensor
    keys: Tensor | None
    positive: Tensor  # pairs of the same identity
    negative: Tensor  # pairs of two identities


def pairs_of(
    function: str, features: Tensor, labels: Tensor, keys: Tensor | None, key_labels: Tensor | None
) -> Pairs:
    """Read the arguments of the loss ``function`` and pair the features with the keys."""
    x, labels, keys, key_labels = read_batch(function, features, labels, keys, key_labels)
    same = labels[:, None] == (labels if key_labels is None else key_labels)
    if keys is not None:
        return Pairs(x, keys, same, ~same)
    other_row = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return Pairs(x, None, same & other_row, ~same)


def mean_over(losses: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of the losses where ``counts`` is True, or 0, without a host sync.

    NaN always reaches the mean, because the gradient is NaN as well.
    """
    return torch.where(counts | losses.isnan(), losses, 0).sum() / counts.sum().clamp(min=1)
