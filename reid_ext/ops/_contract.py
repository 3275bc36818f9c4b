"""Between the public function of an op and its schema: choices, invalid arguments, fakes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, choice

METRICS = ("cosine", "euclidean", "squared_euclidean")


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


def fake(op: str) -> Callable[[Callable], Callable]:
    """Register what stands for the op where tensors have no values: it makes the shapes alone.

    Torch takes it for a single meta tensor among others too, whose results nothing would fill.
    """
    names = [a.name for a in getattr(torch.ops.reid_ext, op).default._schema.arguments]

    def register(shapes: Callable) -> Callable:
        def checked(*arguments: Any) -> Any:
            given = {n: a for n, a in zip(names, arguments, strict=False) if isinstance(a, Tensor)}
            first, like = next(iter(given.items()))
            for name, t in given.items():
                if t.is_meta != like.is_meta:
                    raise RuntimeError(
                        f"{op}: {name} must be on {like.device} like {first}, got {t.device}"
                    )
            return shapes(*arguments)

        return torch.library.register_fake(f"reid_ext::{op}")(checked)

    return register
