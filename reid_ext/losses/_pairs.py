"""Which pairs of a batch, or of a batch and a memory, are positive and which negative."""

import torch
from torch import Tensor

from reid_ext.ops._contract import computed, integers


def positives_and_negatives(
    where: str, features: Tensor, labels: Tensor, keys: Tensor | None, key_labels: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Boolean masks (N, M): pairs of one identity, and pairs of two. Without keys M is N, and no
    row is paired with itself. ``where`` opens the error for arguments that do not fit."""
    if (keys is None) != (key_labels is None):
        raise ValueError(f"{where}: keys and key_labels must come together, got only one of them")
    computed(f"{where}: features", features)
    labels = integers(f"{where}: labels", labels, features)
    if keys is None or key_labels is None:
        rows, others = features, labels
    else:
        rows = computed(f"{where}: keys", keys)
        others = integers(f"{where}: key_labels", key_labels, keys)
    for name, given, like, tensor in (
        ("labels", labels, "features", features),
        ("key_labels", others, "keys", rows),
    ):
        if given.shape != tensor.shape[:1]:
            raise ValueError(
                f"{where}: {name} must have shape ({len(tensor)},), one per row of {like}, got "
                f"{tuple(given.shape)}"
            )
    same = labels[:, None] == others
    if keys is not None:
        return same, ~same
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device), ~same


def mean_over(losses: Tensor, counts: Tensor) -> Tensor:
    """Mean of the losses that count; 0 with zero gradient where none does. No host sync."""
    return torch.where(counts, losses, 0).sum() / counts.sum().clamp(min=1)
