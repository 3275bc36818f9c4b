"""What every op's Python face does alike: the dtypes it reads, and one derivative only."""

import torch
from torch import Tensor

_HALF = (torch.float16, torch.bfloat16)


def computed(x: Tensor) -> Tensor:
    """``x`` in the precision the kernels compute in: half types as float32."""
    return x.float() if x.dtype in _HALF else x


def integers(argument: str, t: Tensor) -> Tensor:
    """``t`` as int64, from any integer type; ``argument`` is what to call it in the error."""
    if t.dtype == torch.int64:
        return t
    real = t.is_floating_point() or t.is_complex() or t.dtype == torch.bool
    if real and t.numel() > 0:  # an empty list becomes a float tensor
        raise RuntimeError(f"{argument} must hold integers, got {t.dtype}; call .long() on it")
    return t.long()


def refuse_second_derivative(op: str) -> None:
    """Make a derivative of the op's gradient an error that says so."""

    def refuse(ctx, *grads):
        raise RuntimeError(
            f"{op} is differentiable once; a second derivative was asked for (create_graph=True)"
        )

    name = f"reid_ext::{op}_backward"
    torch.library.register_autograd(name, refuse)
