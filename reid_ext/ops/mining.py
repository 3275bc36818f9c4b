"""Batch-hard mining: the farthest positive and the nearest negative of every anchor.

Source: Hermans et al. 2017, arXiv:1703.07737, sec. 2 (batch hard).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, computed
from reid_ext._runtime.arguments import labels as read_labels
from reid_ext._runtime.kernels import code_of
from reid_ext.ops._autograd import differentiable, differentiate_once
from reid_ext.ops._contract import METRICS, fake


class HardestPairs(NamedTuple):
    """The result of :func:`mine_hardest`: four tensors of shape (N,).

    Attributes:
        positive: Index of each anchor's farthest positive key, int64, or -1 if it has none.
        negative: Index of each anchor's nearest negative key, int64, or -1 if it has none.
        positive_distance: Distance to ``positive``, differentiable; NaN if there is none.
        negative_distance: Distance to ``negative``, differentiable; NaN if there is none.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> hardest = ops.mine_hardest(torch.eye(3), [7, 7, 8])
        >>> hardest.positive  # identity 8 has no other row
        tensor([ 1,  0, -1])
    """

    positive: Tensor
    negative: Tensor
    positive_distance: Tensor
    negative_distance: Tensor


def mine_hardest(
    x: Tensor,
    labels: Tensor,
    *,
    keys: Tensor | None = None,
    key_labels: Tensor | None = None,
    groups: Tensor | None = None,
    key_groups: Tensor | None = None,
    metric: str = "cosine",
) -> HardestPairs:
    """Return, for every anchor, the farthest key of its identity and the nearest of another.

    Args:
        x: Anchors of shape (N, D), float32, float64, bfloat16 or float16.
        labels: Identities of shape (N,), a tensor or list of any integer type.
        keys: Embeddings of shape (M, D) that the anchors are compared with, same dtype and device.
            Default: None (the anchors are compared with each other; no row is its own positive).
        key_labels: Identities of the keys, of shape (M,). Required when ``keys`` is given.
        groups: Integers of shape (N,), such as modalities. Each anchor is then compared only with
            keys of another group. Default: None (all keys).
        key_groups: Groups of the keys, of shape (M,). Required when ``keys`` and ``groups`` are
            given.
        metric: ``"cosine"`` (1 - cos), ``"euclidean"`` or ``"squared_euclidean"``. The cosine of a
            zero row with any row is 0. Default: ``"cosine"``.

    Returns:
        :class:`HardestPairs`. Distances are float32 for half inputs and differentiable once in
        ``x`` and ``keys``. The gradient of a Euclidean distance of 0 is 0. Ties go to the lowest
        index. Distances are computed from matrix products, so keys whose distances differ by less
        than the rounding error, including duplicate rows, may be swapped. A NaN distance counts as
        the hardest, so that it is not hidden. Memory is O(N + M) plus one tile, never N x M.

    Raises:
        ArgumentError: a shape, dtype, device or metric is invalid.

    Source:
        Hermans et al. 2017, arXiv:1703.07737, sec. 2 (batch hard).

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> x = torch.tensor([[0.0], [1.0], [4.0], [6.0]])
        >>> hardest = ops.mine_hardest(x, [7, 7, 8, 8], metric="euclidean")
        >>> hardest.negative
        tensor([2, 2, 1, 1])
        >>> hardest.negative_distance
        tensor([4., 3., 3., 5.])
    """
    arguments = tensors("mine_hardest", "groups", x, labels, keys, key_labels, groups, key_groups)
    code = code_of("mine_hardest", "metric", metric, METRICS)
    return HardestPairs(*_mine_hardest(*arguments, code))


def tensors(
    op: str,
    groups_name: str,
    x: Tensor,
    labels: Tensor,
    keys: Tensor | None,
    key_labels: Tensor | None,
    groups: Tensor | None,
    key_groups: Tensor | None,
) -> tuple[Tensor | None, ...]:
    """Convert the user's arguments to the tensors in the schema of ``op``."""
    like = computed(op, "x", x)
    if isinstance(keys, Tensor) and keys.dtype != x.dtype and x.is_floating_point():
        raise ArgumentError(op, "keys", f"be {x.dtype} like", str(keys.dtype), like="x")
    key_groups_name = f"key_{groups_name}"
    return (
        like,
        read_labels(op, "labels", labels, like),
        None if keys is None else computed(op, "keys", keys),
        None if key_labels is None else read_labels(op, "key_labels", key_labels, like),
        None if groups is None else read_labels(op, groups_name, groups, like),
        None if key_groups is None else read_labels(op, key_groups_name, key_groups, like),
    )


@fake("mine_hardest")
def _(x, labels, keys, key_labels, groups, key_groups, metric):
    index = x.new_empty(x.shape[0], dtype=torch.int64)
    distance = x.new_empty(x.shape[0])
    return index, torch.empty_like(index), distance, torch.empty_like(distance)


@fake("mine_hardest_backward")
def _(grad_positive, grad_negative, x, keys, positive, negative, p_distance, n_distance, metric):
    rows = 0 if keys is None else keys.shape[0]
    return x.new_empty(x.shape), x.new_empty(rows, x.shape[1])


def gradient_of_distances(
    op: str,
    grads: tuple[Tensor, Tensor],
    x: Tensor,
    keys: Tensor | None,
    pairs: Sequence[Tensor],
    metric: int,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of ``x`` and ``keys``, given those of the two distances."""
    kernel = torch.ops.reid_ext.mine_hardest_backward.default
    return differentiate_once(op, kernel, *grads, x, keys, *pairs, metric)


def _setup_context(ctx, inputs, output):
    x, _, keys, _, _, _, ctx.metric = inputs
    positive, negative, *_ = output
    ctx.mark_non_differentiable(positive, negative)
    ctx.save_for_backward(x, keys, *output)


def _backward(ctx, _positive, _negative, grad_positive, grad_negative):
    x, keys, *pairs = ctx.saved_tensors
    grad_x, grad_keys = gradient_of_distances(
        "mine_hardest", (grad_positive, grad_negative), x, keys, pairs, ctx.metric
    )
    return grad_x, None, None if keys is None else grad_keys, None, None, None, None


_mine_hardest = differentiable("mine_hardest", _backward, _setup_context)
torch.library.register_autocast("reid_ext::mine_hardest", "cuda", torch.float32)
torch.library.register_autocast("reid_ext::mine_hardest", "cpu", torch.float32)
