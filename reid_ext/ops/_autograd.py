"""Registers the gradients of ops, with little overhead per call and at most one derivative.

``torch.library.register_autograd`` makes an op differentiable for every caller, but its wrapper
takes as long as the kernels of a small batch. The public function of an op therefore calls it
through a plain ``autograd.Function`` with the same two functions, when torch supports that.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError

# Both are internal to torch. Without them every call goes through the registered autograd.
_below_autograd: Any = getattr(torch._C, "_AutoDispatchBelowAutograd", None)
_in_functorch: Any = getattr(torch._C, "_are_functorch_transforms_active", None)
_HAS_SHORT_WAY = _below_autograd is not None and _in_functorch is not None


def differentiable(op: str, backward: Callable, setup_context: Callable) -> Callable[..., Any]:
    """Register the gradient of an op, and return the function that calls the op.

    The returned function raises ArgumentError for an invalid argument.
    """
    torch.library.register_autograd(f"reid_ext::{op}", backward, setup_context=setup_context)
    registered = getattr(torch.ops.reid_ext, op).default

    class Eager(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *inputs):
            with _below_autograd():
                output = registered(*inputs)
            setup_context(ctx, inputs, output)
            return output

        @staticmethod
        def backward(ctx, *grads):
            return backward(ctx, *grads)

    class Transformed(torch.autograd.Function):
        """The form that torch.func requires, with a separate and slower setup_context."""

        generate_vmap_rule = True

        @staticmethod
        def forward(*inputs):
            with _below_autograd():
                return registered(*inputs)

        @staticmethod
        def setup_context(ctx, inputs, output):
            setup_context(ctx, inputs, output)

        @staticmethod
        def backward(ctx, *grads):
            return backward(ctx, *grads)

    def run(*inputs: Any) -> Any:
        if torch.compiler.is_compiling():
            return registered(*inputs)
        try:
            if not _HAS_SHORT_WAY:
                return registered(*inputs)
            return (Transformed if _in_functorch() else Eager).apply(*inputs)
        except RuntimeError as error:
            raise ArgumentError.of_kernel(error) from None

    return run


def no_gradient(op: str) -> None:
    """Register the op as not differentiable: its outputs never require a gradient."""

    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(*((output,) if isinstance(output, Tensor) else output))

    def backward(ctx, grad):
        raise RuntimeError(f"{op} has no gradient")

    torch.library.register_autograd(f"reid_ext::{op}", backward, setup_context=setup_context)


def differentiate_once(op: str, kernel: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``kernel(*arguments)``, the gradient of ``op``, which is not differentiable itself.

    With ``create_graph=True`` the call goes through autograd, so that a second derivative raises.
    """
    if torch.is_grad_enabled():
        return _Refusal.apply(op, kernel, *arguments)
    return kernel(*arguments)


class _Refusal(torch.autograd.Function):
    """Raises when the gradient of a gradient is computed."""

    generate_vmap_rule = True

    @staticmethod
    def forward(op, kernel, *arguments):
        return kernel(*arguments)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.op = inputs[0]

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError(
            f"{ctx.op} is differentiable once; a second derivative (create_graph=True) is not "
            "supported"
        )
