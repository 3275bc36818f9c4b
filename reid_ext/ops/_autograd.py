"""How an op gets its gradient: at most one derivative, and little time between Python and kernel.

``torch.library.register_autograd`` is what makes an op differentiable wherever it is called from.
Its wrapper costs as much as the kernels of a small batch, so the Python face of an op calls it
through a plain ``autograd.Function`` made of the same two functions, where that is allowed.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError

# Both are internal to torch: without them every call takes the registered way.
_below_autograd: Any = getattr(torch._C, "_AutoDispatchBelowAutograd", None)
_in_functorch: Any = getattr(torch._C, "_are_functorch_transforms_active", None)
_HAS_SHORT_WAY = _below_autograd is not None and _in_functorch is not None


def differentiable(op: str, backward: Callable, setup_context: Callable) -> Callable[..., Any]:
    """Give the op its gradient, and return it as its public function calls it.

    An invalid argument raises ArgumentError, as from :func:`reid_ext.ops._contract.kernel`.
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
        """What torch.func takes: a context that is set up apart, which takes longer."""

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
            f"{ctx.op} is differentiable once; a second derivative was asked for "
            "(create_graph=True)"
        )
