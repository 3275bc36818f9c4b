"""The metrics, and the registration of fake kernels, which compute output shapes only."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

METRICS = ("cosine", "euclidean", "squared_euclidean")


def fake(op: str) -> Callable[[Callable], Callable]:
    """Register the fake kernel of an op, which computes the shapes for tensors without values.

    Torch also calls it when only one input is a meta tensor. The result would then never get
    values, so such a call raises.
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
