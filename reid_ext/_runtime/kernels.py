"""Between the public function of an op and its kernel: numbers for names, and invalid arguments."""

from collections.abc import Callable
from typing import Any

import torch

from reid_ext._runtime.arguments import ArgumentError, choice


def code_of(function: str, argument: str, value: str, names: tuple[str, ...]) -> int:
    """The number by which the schema knows one of ``names``."""
    return names.index(choice(function, argument, value, names))


def kernel(op: str) -> Callable[..., Any]:
    """The op as public functions call it: an invalid argument raises ArgumentError.

    A compiled graph holds the op itself, so errors of its kernel stay RuntimeError there.
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
