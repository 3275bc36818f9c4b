"""Calls kernels for the public functions: converts names to codes and translates errors."""

from collections.abc import Callable
from typing import Any

import torch

from reid_ext._runtime.arguments import ArgumentError, choice


def code_of(function: str, argument: str, value: str, names: tuple[str, ...]) -> int:
    """Return the code of the string ``value`` in the op's schema: its index in ``names``."""
    return names.index(choice(function, argument, value, names))


def kernel(op: str) -> Callable[..., Any]:
    """Return a function that calls the op and raises ArgumentError for an invalid argument.

    A graph compiled by torch calls the op directly, so there the kernel's error is a RuntimeError.
    """
    registered = getattr(torch.ops.reid_ext, op).default

    def run(*inputs: Any) -> Any:
        if torch.compiler.is_compiling():
            return registered(*inputs)
        try:
            return registered(*inputs)
        except RuntimeError as error:
            raise ArgumentError.of_kernel(error) from None

    return run
