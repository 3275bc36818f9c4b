"""What every op's Python face does alike: dtypes and choices in, and one derivative at most."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_HALF = (torch.float16, torch.bfloat16)


def computed(x: Tensor) -> Tensor:
    """``x`` in the precision the kernels compute in: half types as float32."""
    return x.float() if x.dtype in _HALF else x


def integers(argument: str, t: Tensor, like: Tensor) -> Tensor:
    """``t`` as int64, from any integer type, or a list on the device of ``like``.

    ``argument`` is what to call it in the error.
    """
    if not isinstance(t, Tensor):
        t = torch.as_tensor(t, device=like.device)
    if t.dtype == torch.int64:
        return t
    real = t.is_floating_point() or t.is_complex() or t.dtype == torch.bool
    if real and t.numel() > 0:  # an empty list becomes a float tensor
        raise RuntimeError(f"{argument} must hold integers, got {t.dtype}; call .long() on it")
    return t.long()


METRICS = ("cosine", "euclidean", "squared_euclidean")


def code_of(argument: str, value: str, names: tuple[str, ...]) -> int:
    """The number by which the schema knows one of ``names``."""
    if value not in names:
        raise RuntimeError(f"{argument} must be one of {', '.join(names)}, got {value!r}")
    return names.index(value)


def no_gradient(op: str) -> None:
    """Run the op below autograd, whatever its inputs require."""

    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(*((output,) if isinstance(output, Tensor) else output))

    def backward(ctx, grad):
        raise RuntimeError(f"{op} has no gradient")

    torch.library.register_autograd(f"reid_ext::{op}", backward, setup_context=setup_context)


def differentiate_once(op: str, kernel: Callable[..., Any], *arguments: Any) -> Any:
    """The result of ``kernel(*arguments)``, the gradient of ``op``, which has none itself.

    Only where a graph of the gradient is asked for does this pass through autograd, to refuse.
    """
    if torch.is_grad_enabled():
        return _Refusal.apply(op, kernel, *arguments)
    return kernel(*arguments)


class _Refusal(torch.autograd.Function):
    """Makes a derivative of a gradient an error that says so."""

    @staticmethod
    def forward(ctx, op, kernel, *arguments):
        ctx.op = op
        return kernel(*arguments)

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError(
            f"{ctx.op} is differentiable once; a second derivative was asked for "
            "(create_graph=True)"
        )
