"""Identity and viewpoint softmax losses with labels that adapt to the prediction.

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
    """Return the softmax cross entropy whose labels are smoother the worse the prediction.

    With q the softmax of a row, y its identity and C identities, the label is

    - ``"paper"``: 1 - alpha (1 - q_y) for y and alpha (1 - q_y) / (C - 1) for each other identity;
      it sums to 1;
    - ``"released"``, the paper's code: 1 - alpha (1 - q_y) for y, plus alpha (1 - q_j) / (C - 1)
      for every identity j, y included; it sums to 1 + alpha q_y, not to 1.

    Args:
        logits: Shape (N, C), float32, float64, bfloat16 or float16, of any size.
        labels: Identities of shape (N,), any integer type, in [0, C).
        alpha: How much of a wrong prediction is smoothed away, in [0, 1]; 0 is hard labels.
        variant: ``"paper"`` or ``"released"``.
        aggregation: ``"mean"`` over the rows, or ``"none"``.

    Returns:
        A scalar, 0 for N = 0; with ``"none"`` shape (N,). float32 for half inputs. Labels are
        constants: no gradient flows through them. Differentiable once in ``logits``; nothing of
        their size is made but their gradient.

    Raises:
        ArgumentError: a shape, dtype, device, alpha or choice is invalid, or on the CPU a label is
            out of range. On CUDA such a label gives its row a NaN loss and gradient.
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

    With r the softmax of a row over the K present classes, of which its identity y has n, and v
    its view, the label is

    - ``"adaptive"``: 1 - e1 - e2 for (y, v), e2 / (n - 1) for each other view of y and
      e1 / (K - n) for each class of another identity, where e1 = alpha (1 - sum_k r(y, k)) and
      e2 = alpha (1 - r(y, v)). The paper prints it for n = 3, with e2 / 2 and e1 / (K - 3). An
      identity of one view has e2 = 0, and a lone identity e1 = 0;
    - ``"fixed"``: 0.6 for (y, v), 0.3 shared by the other views of y (0.15 each of two, 0.30 for
      one), and 0.1 / K for every class; an identity of one view has 0.9 for it;
    - ``"hard"``: 1 for (y, v).

    Each sums to 1, since K counts all classes that are present.

    Args:
        logits: Shape (N, C * V), float32, float64, bfloat16 or float16: class (j, k) is column
            j * V + k. Of any size.
        labels: Identities of shape (N,), any integer type, in [0, C).
        views: Shape (N,), any signed integer type, in [0, V); -1 where the view is not known: such
            a row does not count.
        num_views: V.
        alpha: Scale of the adaptive labels, in [0, 0.5]; beyond, a label could be negative.
        targets: ``"adaptive"``, ``"fixed"`` or ``"hard"``.
        present: Bool of shape (C, V), False for classes that do not exist: they have no
            probability and no gradient. None: all exist.
        aggregation: ``"mean"`` over the rows that count, or ``"none"``.

    Returns:
        A scalar, 0 with zero gradient where no row counts; with ``"none"`` shape (N,), NaN where
        a row does not count. float32 for half inputs. Labels are constants: no gradient flows
        through them. Differentiable once in ``logits``; nothing of their size is made but their
        gradient.

    Raises:
        ArgumentError: a shape, dtype, device, number or choice is invalid; on the CPU also if a
            label or view is out of range, or the class of a row is not present. On CUDA, which
            does not wait for values, such a row has a NaN loss and gradient.
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
    ctx.set_materialize_grads(False)  # three zero tensors per backward that nobody reads
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
