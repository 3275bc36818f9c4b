"""What the losses take: features with labels, perhaps keys with theirs, and errors that name them.

The losses that are made of torch's own operators read their arguments here. The others leave that
to the op that they call, whose errors :func:`named` words for the loss.
"""

import functools
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, alike, features, labels_of_rows

MOST = 2**31 - 1  # classes or dimensions
_Method = TypeVar("_Method", bound=Callable)


def named(**arguments: str) -> Callable[[_Method], _Method]:
    """Let the errors of a method name the class that defines it, and its names of arguments.

    ``arguments``: the name of an op's argument -> what the method calls it.
    """

    def decorate(method: _Method) -> _Method:
        function = method.__qualname__.partition(".")[0]

        @functools.wraps(method)
        def with_names(*args, **kwargs):
            if torch.compiler.is_compiling():  # what fails in a graph raises outside of this call
                return method(*args, **kwargs)
            try:
                return method(*args, **kwargs)
            except ArgumentError as error:
                raise error.named(function, **arguments) from None

        return with_names  # type: ignore[return-value]

    return decorate


def read_batch(
    function: str, x: Tensor, labels: Tensor, keys: Tensor | None, key_labels: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Features (N, D), half types as float32, and their labels; the same of the keys, or None."""
    if (keys is None) != (key_labels is None):
        pair = "keys and key_labels"
        raise ArgumentError(function, pair, "come together", "only one of them")
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
