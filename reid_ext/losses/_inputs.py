"""Reads the arguments of losses: features with labels, and optional keys with labels.

Losses that use only torch's operators read their arguments here. For the others, the op from
``reid_ext.ops`` does it.
"""

import warnings

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor

from reid_ext._runtime.arguments import ArgumentError, alike, features, labels_of_rows

ANCHOR = "anchor with both a positive and a negative"
MOST = 2**31 - 1  # upper limit of the number of classes and of dimensions


def read_batch(
    function: str, x: Tensor, labels: Tensor, keys: Tensor | None, key_labels: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Read features (N, D), half types as float32, and labels, and the same for optional keys."""
    if (keys is None) != (key_labels is None):
        pair = "keys and key_labels"
        raise ArgumentError(function, pair, "be given together", "only one of them")
    x = features(function, "features", x)
    labels = labels_of_rows(function, "labels", labels, "features", x)
    if keys is None:
        return x, labels, None, None
    keys = features(function, "keys", keys)
    alike(function, "keys", keys, "features", x)
    return x, labels, keys, labels_of_rows(function, "key_labels", key_labels, "keys", keys)


def warn_if_none(loss: nn.Module, counts: Tensor, what: str) -> None:
    """Warn at the first batch in which nothing counts, because the loss is then 0.

    Nothing is read from a GPU, because that would wait for it, or under vmap, which cannot.
    """
    traced = torch.compiler.is_compiling() or is_functorch_wrapped_tensor(counts)
    if traced or not counts.is_cpu or hasattr(loss, "_warned"):
        return
    if not bool(counts.any()):
        loss._warned = True  # type: ignore[assignment]
        warnings.warn(
            f"{type(loss).__name__}: the batch has no {what}, so the loss and its gradient are 0; "
            "sample at least two identities with two images each",
            stacklevel=5,  # the caller of the module
        )


def promoted(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return both tensors in the wider dtype of the two."""
    wide = torch.promote_types(x.dtype, weight.dtype)
    return x.to(wide), weight.to(wide)
