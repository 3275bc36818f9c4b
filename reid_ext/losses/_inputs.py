"""What the losses take: features with labels, and perhaps keys with theirs.

The losses that are made of torch's own operators read their arguments here. The others leave that
to the op that they call.
"""

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, alike, features, labels_of_rows

MOST = 2**31 - 1  # classes or dimensions


def read_batch(
    function: str, x: Tensor, labels: Tensor, keys: Tensor | None, key_labels: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Features (N, D), half types as float32, and their labels; the same of the keys, or None."""
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


def promoted(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the wider dtype of the two."""
    wide = torch.promote_types(x.dtype, weight.dtype)
    return x.to(wide), weight.to(wide)
