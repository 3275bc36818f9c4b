"""Cosines or angles between two sets of rows, batched and differentiable."""

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, computed, flag
from reid_ext.ops._autograd import differentiable, differentiate_once
from reid_ext.ops._contract import fake


def cosine_matrix(x: Tensor, y: Tensor | None = None, *, angle: bool = False) -> Tensor:
    """Return the cosine or the angle between every row of ``x`` and every row of ``y``.

    Args:
        x: Rows of shape (..., N, D), float32, float64, bfloat16 or float16.
        y: Rows of shape (..., M, D) with the same leading dimensions, dtype and device as ``x``.
            Default: None (compare ``x`` with itself).
        angle: Return angles in radians instead of cosines. Default: False.

    Returns:
        Cosines in [-1, 1] or angles in [0, pi], of shape (..., N, M); float32 for half inputs. A
        zero row has cosine 0, angle pi / 2 and gradient 0. Angles keep their precision near 0 and
        pi. At exactly 0 and pi the angle is not differentiable, and its gradient is set to 0. The
        result is differentiable once in both inputs.

    Raises:
        ArgumentError: a shape, dtype or device is invalid.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        >>> ops.cosine_matrix(x)
        tensor([[1., 0.],
                [0., 1.]])
        >>> ops.cosine_matrix(x, torch.tensor([[3.0, 3.0]]), angle=True)  # pi / 4
        tensor([[0.7854],
                [0.7854]])
    """
    function = "cosine_matrix"
    x = computed(function, "x", x)
    if x.dim() < 2:
        raise ArgumentError(function, "x", "have shape (..., N, D)", str(tuple(x.shape)))
    batch = x.shape[:-2].numel()
    rows = x.shape[-2]
    if y is not None:
        y = computed(function, "y", y)
        if y.dim() != x.dim() or y.shape[:-2] != x.shape[:-2] or y.shape[-1] != x.shape[-1]:
            wanted = ", ".join(map(str, (*x.shape[:-2], "M", x.shape[-1])))
            requirement = f"have shape ({wanted}) to go with"
            raise ArgumentError(function, "y", requirement, str(tuple(y.shape)), like="x")
        rows = y.shape[-2]
        y = y.reshape(batch, *y.shape[-2:])
    x3 = x.reshape(batch, *x.shape[-2:])
    out = _cosine_matrix(x3, y, flag(function, "angle", angle))
    return out.reshape(*x.shape[:-1], rows)


@fake("cosine_matrix")
def _(x, y, angle):
    return x.new_empty(x.shape[0], x.shape[1], (x if y is None else y).shape[1])


@fake("cosine_matrix_backward")
def _(grad, cosine, x, y):
    return x.new_empty(x.shape), x.new_empty(0) if y is None else y.new_empty(y.shape)


def _setup_context(ctx, inputs, output):
    x, y, ctx.angle = inputs
    ctx.save_for_backward(x, y, output)


def _backward(ctx, grad):
    x, y, out = ctx.saved_tensors
    if ctx.angle:
        sine = out.sin()
        kink = sine <= 4 * torch.finfo(out.dtype).eps
        grad = torch.where(kink, 0, -grad / sine)
        out = out.cos()
    kernel = torch.ops.reid_ext.cosine_matrix_backward.default
    grad_x, grad_y = differentiate_once("cosine_matrix", kernel, grad, out, x, y)
    return grad_x, None if y is None else grad_y, None


_cosine_matrix = differentiable("cosine_matrix", _backward, _setup_context)
torch.library.register_autocast("reid_ext::cosine_matrix", "cuda", torch.float32)
torch.library.register_autocast("reid_ext::cosine_matrix", "cpu", torch.float32)
