"""Softmax losses over identities and viewpoints with adaptive label smoothing.

Source: Zhu et al. 2020, arXiv:1912.01300 (VA-reID).
"""

import torch
from torch import Tensor

from reid_ext._runtime.argument_error import named
from reid_ext._runtime.arguments import choice, computed, dense, integer, number
from reid_ext._runtime.arguments import labels as read_labels
from reid_ext._runtime.kernels import code_of
from reid_ext.ops._autograd import differentiable, differentiate_once
from reid_ext.ops._contract import fake

VIEW_TARGETS = ("adaptive", "fixed", "hard")
AGGREGATIONS = ("mean", "none")
_TARGETS_OF_VARIANT = {"paper": 0, "released": 3}


@named()
def adaptive_label_smoothing_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    alpha: float = 0.25,
    variant: str = "paper",
    aggregation: str = "mean",
) -> Tensor:
    """Return the cross entropy with labels that are smoothed more for a worse prediction.

    Let q be the softmax of a row, y its identity and C the number of identities. The label is

    - ``"paper"``: 1 - alpha (1 - q_y) for y, and alpha (1 - q_y) / (C - 1) for each other
      identity. It sums to 1.
    - ``"released"`` (the paper's code): 1 - alpha (1 - q_y) for y, plus alpha (1 - q_j) / (C - 1)
      for every identity j including y. It sums to 1 + alpha q_y.

    Args:
        logits: Logits of shape (N, C), float32, float64, bfloat16 or float16. Large values do not
            overflow.
        labels: Identities of shape (N,), any integer dtype, in [0, C).
        alpha: Strength of the smoothing, in [0, 1]. Default: 0.25. With 0 the labels are hard.
        variant: ``"paper"`` or ``"released"``. Default: ``"paper"``.
        aggregation: ``"mean"`` over the rows, or ``"none"`` (one loss per row).
            Default: ``"mean"``.

    Returns:
        A scalar, which is 0 for N = 0, or the losses of shape (N,) with ``"none"``; float32 for
        half inputs. The labels count as constants, so no gradient flows through them. The result
        is differentiable once in ``logits``. Only the gradient takes memory of their size.

    Raises:
        ArgumentError: a shape, dtype, device, alpha or choice is invalid, or a label on the CPU is
            out of range. On CUDA the row of such a label has a NaN loss and gradient.

    Source:
        Zhu et al. 2020, arXiv:1912.01300.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> logits = torch.tensor([[8.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> losses = ops.adaptive_label_smoothing_loss(
        ...     logits, torch.tensor([0, 1]), aggregation="none"
        ... )
        >>> losses[1]  # uniform prediction over three identities: log(3)
        tensor(1.0986)
    """
    function = "adaptive_label_smoothing_loss"
    variant = choice(function, "variant", variant, _TARGETS_OF_VARIANT)
    loss, *_ = _viewpoint_loss(
        computed(function, "logits", logits),
        read_labels(function, "labels", labels, logits),
        *(None, None, 1, number(function, "alpha", alpha), _TARGETS_OF_VARIANT[variant]),
        code_of(function, "aggregation", aggregation, AGGREGATIONS) == 1,
    )
    return loss


def viewpoint_loss(
    logits: Tensor,
    labels: Tensor,
    views: Tensor,
    *,
    num_views: int = 3,
    alpha: float = 0.25,
    targets: str = "adaptive",
    present: Tensor | None = None,
    aggregation: str = "mean",
) -> Tensor:
    """Return the softmax cross entropy over (identity, view) classes.

    A row has the identity y and the view v. Let r be its softmax over the K present classes, and n
    the number of present views of y. The label is

    - ``"adaptive"``: 1 - e1 - e2 for (y, v), e2 / (n - 1) for each other view of y, and
      e1 / (K - n) for each class of another identity, where e1 = alpha (1 - sum_k r(y, k)) and
      e2 = alpha (1 - r(y, v)). The paper gives it for n = 3, with e2 / 2 and e1 / (K - 3). An
      identity with a single view has e2 = 0. If there is a single identity, e1 = 0.
    - ``"fixed"``: 0.6 for (y, v), a total of 0.3 for the other views of y (0.15 for each of two,
      0.30 for one), and 0.1 / K for every class. An identity with a single view has 0.9 instead of
      0.6 for it.
    - ``"hard"``: 1 for (y, v).

    All labels sum to 1, because K counts the present classes only.

    Args:
        logits: Logits of shape (N, C * V), float32, float64, bfloat16 or float16. Class (j, k) is
            column j * V + k. Large values do not overflow.
        labels: Identities of shape (N,), any integer dtype, in [0, C).
        views: Views of shape (N,), any signed integer dtype, in [0, V). -1 means an unknown view,
            and such a row is left out.
        num_views: Number of views V. Default: 3.
        alpha: Scale of the adaptive labels, in [0, 0.5]. With a larger value a label could be
            negative. Default: 0.25.
        targets: ``"adaptive"``, ``"fixed"`` or ``"hard"``. Default: ``"adaptive"``.
        present: Bool of shape (C, V), False for classes that do not exist. They have no
            probability and no gradient. Default: None (all classes exist).
        aggregation: ``"mean"`` over the rows with a known view, or ``"none"`` (one loss per row).
            Default: ``"mean"``.

    Returns:
        A scalar, or with ``"none"`` the losses of shape (N,), NaN for rows with an unknown view;
        float32 for half inputs. If no row has a known view, the scalar and its gradient are zero.
        The labels count as constants, so no gradient flows through them. The result is
        differentiable once in ``logits``. Only the gradient takes memory of their size.

    Raises:
        ArgumentError: a shape, dtype, device, number or choice is invalid. On the CPU also if a
            label or view is out of range, or if the class of a row is not present. On CUDA, where
            a check would wait for the device, such a row has a NaN loss and gradient.

    Source:
        Zhu et al. 2020, arXiv:1912.01300.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> logits = torch.zeros(2, 4)  # two identities with two views each
        >>> ops.viewpoint_loss(
        ...     logits, torch.tensor([0, 1]), torch.tensor([1, -1]), num_views=2,
        ...     aggregation="none",
        ... )
        tensor([1.3863,    nan])
    """
    function = "viewpoint_loss"
    loss, *_ = _viewpoint_loss(
        computed(function, "logits", logits),
        read_labels(function, "labels", labels, logits),
        read_labels(function, "views", views, logits),
        None if present is None else dense(function, "present", present),
        integer(function, "num_views", num_views),
        number(function, "alpha", alpha),
        code_of(function, "targets", targets, VIEW_TARGETS),
        code_of(function, "aggregation", aggregation, AGGREGATIONS) == 1,
    )
    return loss


@fake("viewpoint_loss")
def _(logits, labels, views, present, num_views, alpha, targets, each):
    rows = (logits.shape[0],)
    loss = logits.new_empty(rows if each else ())
    return loss, logits.new_empty(rows), logits.new_empty(rows), logits.new_empty(())


@fake("viewpoint_loss_backward")
def _(grad_loss, logits, *_):
    return logits.new_empty(logits.shape)


def _setup_context(ctx, inputs, output):
    logits, labels, views, present, *ctx.choices, _ = inputs
    _, *statistics = output
    ctx.mark_non_differentiable(*statistics)
    ctx.set_materialize_grads(False)  # saves three unused zero tensors per backward
    ctx.save_for_backward(logits, labels, views, present, *statistics)


def _backward(ctx, grad_loss, *_):
    if grad_loss is None:
        return (None,) * 8
    kernel = torch.ops.reid_ext.viewpoint_loss_backward.default
    grad = differentiate_once("viewpoint_loss", kernel, grad_loss, *ctx.saved_tensors, *ctx.choices)
    return grad, *(None,) * 7


_viewpoint_loss = differentiable("viewpoint_loss", _backward, _setup_context)
torch.library.register_autocast("reid_ext::viewpoint_loss", "cuda", torch.float32)
torch.library.register_autocast("reid_ext::viewpoint_loss", "cpu", torch.float32)
