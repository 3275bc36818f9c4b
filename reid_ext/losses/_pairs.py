"""Which pairs of a batch, or of a batch and a memory, are positive and which negative."""

import torch
from torch import Tensor

from reid_ext.losses._batch import with_keys


def positives_and_negatives(
    where: str, features: Tensor, labels: Tensor, keys: Tensor | None, key_labels: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Boolean masks (N, M): pairs of one identity, and pairs of two. Without keys M is N, and no
    row is paired with itself. ``where`` opens the error for what does not fit."""
    _, labels, keys, key_labels = with_keys(where, features, labels, keys, key_labels)
    same = labels[:, None] == (labels if key_labels is None else key_labels)
    if keys is not None:
        return same, ~same
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device), ~same


def mean_over(losses: Tensor, counts: Tensor) -> Tensor:
    """Mean of the losses that count; 0 with zero gradient where none does. No host sync."""
    return torch.where(counts, losses, 0).sum() / counts.sum().clamp(min=1)
