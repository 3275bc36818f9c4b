"""What the losses that are made of torch's own operators take as features and labels."""

import torch
from torch import Tensor

from reid_ext.ops._contract import check_alike, computed, integers


def rows(where: str, name: str, features: Tensor, dim: int | None = None) -> Tensor:
    """Features (N, D), half types as float32; ``where`` and ``name`` are for the error.

    ``dim``: what D has to be, if anything.
    """
    x = computed(f"{where}: {name}", features)
    if x.dim() != 2 or x.shape[1] != (dim or x.shape[1]):
        raise ValueError(f"{where}: {name} must have shape (N, {dim or 'D'}), got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(
            f"{where}: {name} must be float32, float64, bfloat16 or float16, got {x.dtype}"
        )
    return x


def keys_like(where: str, keys: Tensor, features: Tensor) -> Tensor:
    """Keys (M, D) for what :func:`rows` gave."""
    y = rows(where, "keys", keys)
    check_alike(where, "keys", y, "features", features)
    return y


def labels_of(where: str, name: str, labels: Tensor, features: Tensor, like: str) -> Tensor:
    """Labels, one per row of what ``like`` names, as int64 on its device, contiguous."""
    y = integers(f"{where}: {name}", labels, features)
    if y.shape != features.shape[:1]:
        raise ValueError(
            f"{where}: {name} must have shape ({len(features)},), one per row of {like}, got "
            f"{tuple(y.shape)}"
        )
    if y.device != features.device:
        raise ValueError(
            f"{where}: {name} must be on {features.device} like {like}, got {y.device}"
        )
    return y.contiguous()


def with_keys(
    where: str, features: Tensor, labels: Tensor, keys: Tensor | None, key_labels: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """The four of them as above; keys and their labels come together."""
    if (keys is None) != (key_labels is None):
        raise ValueError(f"{where}: keys and key_labels must come together, got only one of them")
    x = rows(where, "features", features)
    y = labels_of(where, "labels", labels, x, "features")
    if keys is None or key_labels is None:
        return x, y, None, None
    others = keys_like(where, keys, x)
    return x, y, others, labels_of(where, "key_labels", key_labels, others, "keys")


def promoted(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the wider dtype of the two."""
    wide = torch.promote_types(x.dtype, weight.dtype)
    return x.to(wide), weight.to(wide)
