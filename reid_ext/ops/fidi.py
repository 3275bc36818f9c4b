"""FIDI, the fine-grained difference-aware pairwise loss.

Source: Yan et al. 2022, IEEE TMM 24, arXiv:2009.10295.
"""

import torch
from torch import Tensor

from reid_ext._runtime.arguments import computed, flag, number
from reid_ext._runtime.arguments import labels as read_labels
from reid_ext._runtime.kernels import code_of
from reid_ext.ops._autograd import differentiable, differentiate_once
from reid_ext.ops._contract import fake

FIDI_AGGREGATIONS = ("mean", "sum")


def fidi_loss(
    x: Tensor,
    labels: Tensor,
    *,
    keys: Tensor | None = None,
    key_labels: Tensor | None = None,
    alpha: float = 1.05,
    beta: float = 0.5,
    normalize: bool = False,
    aggregation: str = "mean",
) -> Tensor:
    """Return the FIDI loss: the divergence between similarity and identity over all pairs.

    A pair at Euclidean distance d has the similarity ``u = exp(-beta * d)``. With
    ``c = alpha - 1``, the loss of a pair is

    - ``u * log(alpha / c)`` if the identities differ;
    - ``u * log(alpha * u / (c * u + 1)) + log(alpha / (c + u))`` if they are the same. This is 0
      at d = 0 and less than ``log(alpha / c)`` at any distance.

    Args:
        x: Embeddings of shape (N, D), float32, float64, bfloat16 or float16.
        labels: Identities of shape (N,), any integer dtype.
        keys: Embeddings of shape (M, D) that the rows are paired with, same dtype and device.
            Default: None (all ordered pairs of two rows of ``x``).
        key_labels: Identities of the keys, of shape (M,). Required when ``keys`` is given.
        alpha: Greater than 1. A value closer to 1 allows a larger loss for a wrong pair.
            Default: 1.05.
        beta: Greater than 0, per unit of distance. It sets how fast the similarity decreases with
            the distance. Default: 0.5.
        normalize: Divide every row by its Euclidean norm first. Then d is at most 2, and the loss
            of a pair of two identities is at least ``exp(-2 * beta) * log(alpha / c)``. A zero
            row stays zero and has zero gradient. Default: False.
        aggregation: ``"mean"`` over the pairs, or ``"sum"`` (the form in the paper).
            Default: ``"mean"``.

    Returns:
        A scalar, float32 for half inputs. If there is no pair, the loss and its gradient are zero.
        Rows at distance 0 have no gradient from each other. The result is differentiable once in
        ``x`` and ``keys``. The gradient is computed together with the loss, by one more matrix
        product. Memory is O((N + M) D) plus one tile, never N x M. On a CPU the result is
        bit-identical for any number of threads.

    Raises:
        ArgumentError: a shape, dtype, device, alpha, beta or aggregation is invalid.

    Source:
        Yan et al. 2022, IEEE TMM 24, arXiv:2009.10295.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> near = torch.tensor([[0.0], [0.0], [9.0], [9.0]])
        >>> labels = torch.tensor([7, 7, 8, 8])
        >>> far = torch.tensor([[0.0], [9.0], [0.0], [9.0]])
        >>> bool(ops.fidi_loss(near, labels) < ops.fidi_loss(far, labels))
        True
        >>> ops.fidi_loss(near[:2], labels[:2])  # one identity at distance 0
        tensor(0.)
    """
    function = "fidi_loss"
    x = computed(function, "x", x)
    keys = None if keys is None else computed(function, "keys", keys)
    if flag(function, "normalize", normalize):
        x, keys = _unit_rows(x), None if keys is None else _unit_rows(keys)
    differentiate = torch.is_grad_enabled()
    loss, _, _ = _fidi_loss(
        x,
        read_labels(function, "labels", labels, x),
        keys,
        None if key_labels is None else read_labels(function, "key_labels", key_labels, x),
        number(function, "alpha", alpha),
        number(function, "beta", beta),
        code_of(function, "aggregation", aggregation, FIDI_AGGREGATIONS) == 0,
        differentiate and x.requires_grad,
        differentiate and keys is not None and keys.requires_grad,
    )
    return loss


def _unit_rows(x: Tensor) -> Tensor:
    """Return rows of norm 1. A zero row stays zero and has zero gradient."""
    if not x.is_floating_point():  # the kernel raises the error
        return x
    length = x.norm(dim=-1, keepdim=True)
    length = torch.where(length.isinf(), torch.nan, length)
    return torch.where(length == 0, 0, x / torch.where(length == 0, 1, length))


@fake("fidi_loss")
def _(x, labels, keys, key_labels, alpha, beta, mean, with_grad_x, with_grad_keys):
    n = x.shape[0] if with_grad_x else 0
    m = keys.shape[0] if with_grad_keys and keys is not None else 0
    return x.new_empty(()), x.new_empty(n, x.shape[1]), x.new_empty(m, x.shape[1])


@fake("fidi_loss_backward")
def _(grad_loss, rows, grad):
    return torch.empty_like(grad)


def _setup_context(ctx, inputs, output):
    x, _, keys, *_, with_grad_x, with_grad_keys = inputs
    ctx.with_grad = with_grad_x, with_grad_keys
    _, grad_x, grad_keys = output
    ctx.mark_non_differentiable(grad_x, grad_keys)
    ctx.save_for_backward(x, keys, grad_x, grad_keys)


def _backward(ctx, grad_loss, _grad_x, _grad_keys):
    x, keys, grad_x, grad_keys = ctx.saved_tensors
    wanted = ctx.needs_input_grad[0], ctx.needs_input_grad[2]
    for name, want, made in zip(("x", "keys"), wanted, ctx.with_grad, strict=True):
        if want and not made:
            raise RuntimeError(
                f"fidi_loss: with_grad_{name} must be True when {name} requires a gradient, got "
                "False; call reid_ext.ops.fidi_loss, which sets it"
            )
    kernel = torch.ops.reid_ext.fidi_loss_backward.default

    def scaled(rows: Tensor, grad: Tensor) -> Tensor:
        return differentiate_once("fidi_loss", kernel, grad_loss, rows, grad)

    return (
        scaled(x, grad_x) if wanted[0] else None,
        None,
        scaled(keys, grad_keys) if wanted[1] else None,
        *(None,) * 6,
    )


_fidi_loss = differentiable("fidi_loss", _backward, _setup_context)
for _device in ("cuda", "cpu"):
    torch.library.register_autocast("reid_ext::fidi_loss", _device, torch.float32)
