"""Viewpoint loss of VA-reID: gradient, torch integration and errors."""

import pytest
import torch
from reference.classification_losses import viewpoint
from viewpoint_cases import ALPHA, batch

from reid_ext import ops

OUT_OF_RANGE = {
    "labels": (4, 0, r"labels must be in \[0, 4\), got 4 in row 2"),
    "negative labels": (-1, 0, r"labels must be in \[0, 4\), got -1 in row 2"),
    "labels that would overflow": (2**62, 1, r"labels must be .* got 4611686018427387904"),
    "views": (0, 3, r"views must be in \[0, 3\) or -1 \(unknown\), got 3 in row 2"),
    "negative views": (0, -2, r"views must be in \[0, 3\) or -1 \(unknown\), got -2 in row 2"),
    "absent": (1, 1, "present must be True for the class of every row, got False for identity 1"),
}


REFUSED = {
    "logits of one dimension": ({"logits": (12,)}, r"logits must have shape \(N, C \* V\), got"),
    "logits of part of an identity": (
        {"logits": (6, 11)},
        "logits must have num_views = 3 ",
    ),
    "labels too short": ({"labels": (5,)}, r"labels must have shape \(6,\) .* logits, got \(5,\)"),
    "views as a column": ({"views": (6, 1)}, r"views must have shape \(6,\) .* got \(6, 1\)"),
    "present turned": ({"present": (3, 4)}, r"present must have shape \(4, 3\) .* got \(3, 4\)"),
    "no views": ({"num_views": 0}, "num_views must be at least 1"),
    "alpha above": ({"alpha": 0.6}, r"alpha must be in \[0, 0.5\], got 0.6"),
    "alpha below": ({"alpha": -0.1}, r"alpha must be in \[0, 0.5\], got -0.1"),
    "alpha of no value": ({"alpha": float("nan")}, r"alpha must be a finite number, got nan"),
    "other targets": (
        {"targets": "soft"},
        "targets must be one of 'adaptive', 'fixed', 'hard', got 'soft'",
    ),
    "released targets": (
        {"targets": "released"},
        "targets must be one of 'adaptive', 'fixed', 'hard'",
    ),
    "another aggregation": (
        {"aggregation": "sum"},
        "aggregation must be one of 'mean', 'none', got 'sum'",
    ),
}


# --- gradient ---------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", ["fixed", "hard"])
@pytest.mark.parametrize("aggregation", ["mean", "none"])
@pytest.mark.parametrize("masked", [False, True])
def test_viewpoint_gradient_matches_finite_differences(masked, aggregation, targets, device):
    # Adaptive labels move with the logits, but are constants in the gradient by definition: finite
    # differences would see them move. test_matches_reference_with_its_gradient covers them.
    logits, labels, views, present = batch(4, 3, 3, device, masked=masked)
    views[1] = -1
    choices = {"targets": targets, "present": present, "aggregation": aggregation}

    def loss(leaf):
        each = ops.viewpoint_loss(leaf, labels, views, **choices)
        return each if aggregation == "mean" else each[views >= 0]

    assert torch.autograd.gradcheck(loss, logits.requires_grad_())


def test_viewpoint_gradient_scales_each_row_separately(device):
    logits, labels, views, _ = batch(5, 4, 3, device)
    weight = torch.randn(5, device=device, dtype=torch.float64)
    grads = []
    for loss in (lambda *a: ops.viewpoint_loss(*a, aggregation="none"), viewpoint):
        leaf = logits.detach().requires_grad_()
        (weight * loss(leaf, labels, views)).sum().backward()
        grads.append(leaf.grad)
    torch.testing.assert_close(*grads)


def test_viewpoint_loss_saves_only_the_logits_for_backward(device):
    logits, labels, views, _ = batch(8, 50, 3, device)
    leaf, saved = logits.requires_grad_(), []
    keep = torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t)
    with keep:
        ops.viewpoint_loss(leaf, labels, views)
    large = [t for t in saved if t.numel() > 8]
    assert [t.data_ptr() for t in large] == [leaf.data_ptr()]


def test_viewpoint_loss_raises_for_second_derivative(device):
    logits, labels, views, _ = batch(4, 3, 3, device)
    loss = ops.viewpoint_loss(logits.requires_grad_(), labels, views)
    (grad,) = torch.autograd.grad(loss, logits, create_graph=True)
    with pytest.raises(RuntimeError, match="viewpoint_loss is differentiable once; a second"):
        grad.sum().backward()


@pytest.mark.parametrize("masked", [False, True])
def test_viewpoint_loss_is_bit_identical_in_runs_and_threads(masked, threads, device):
    logits, labels, views, present = batch(300, 400, 3, device, torch.float32, masked)
    logits.requires_grad_()
    runs = []
    for count in (1, 1, 2):
        threads(count)
        loss = ops.viewpoint_loss(logits, labels, views, present=present)
        runs.append((loss, *torch.autograd.grad(loss, logits)))
    for one, *others in zip(*runs, strict=True):
        assert all(torch.equal(one, other) for other in others)


# --- registration -----------------------------------------------------------------------------


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_viewpoint_loss_is_registered_correctly(masked, each, device):
    logits, labels, views, present = batch(4, 3, 3, device, masked=masked)
    op = torch.ops.reid_ext.viewpoint_loss.default
    arguments = (logits.requires_grad_(), labels, views, present, 3, ALPHA, 0)  # adaptive
    torch.library.opcheck(op, (*arguments, each))
    logits = logits.detach()
    arguments = (logits, *arguments[1:])
    loss, *saved = op(*arguments, each)
    backward = torch.ops.reid_ext.viewpoint_loss_backward.default
    torch.library.opcheck(backward, (loss, *arguments[:4], *saved, *arguments[4:]))


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [False, True])
def test_viewpoint_loss_compiles_to_one_graph(dynamic, device):
    compiled = torch.compile(
        ops.viewpoint_loss, fullgraph=True, backend="aot_eager", dynamic=dynamic
    )
    for rows in (5, 8) if dynamic else (5,):
        logits, labels, views, present = batch(rows, 4, 3, device, masked=True)
        grads = []
        for loss in (compiled, ops.viewpoint_loss):
            leaf = logits.detach().requires_grad_()
            loss(leaf, labels, views, present=present).backward()
            grads.append(leaf.grad)
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("autocast_to", [torch.bfloat16, torch.float16])
def test_viewpoint_loss_runs_in_float32_under_autocast(autocast_to, device):
    logits, labels, views, _ = batch(9, 6, 3, device, torch.float32)
    with torch.autocast(device.type, autocast_to):
        got = ops.viewpoint_loss(logits, labels, views)
    assert got.dtype == torch.float32
    assert torch.equal(got, ops.viewpoint_loss(logits, labels, views))


@pytest.mark.parametrize("case", OUT_OF_RANGE)
def test_class_out_of_range_raises_on_cpu_and_is_nan_on_cuda(case, device):
    label, view, message = OUT_OF_RANGE[case]
    logits, labels, views, _ = batch(5, 4, 3, device)
    present = torch.ones(4, 3, dtype=torch.bool, device=device)
    present[1, 1] = False
    labels[:], views[:] = 0, 0
    labels[2], views[2] = label, view
    leaf = logits.requires_grad_()
    if device.type == "cpu":
        with pytest.raises(ValueError, match="viewpoint_loss: " + message):
            ops.viewpoint_loss(leaf, labels, views, present=present)
        return
    each = ops.viewpoint_loss(leaf, labels, views, present=present, aggregation="none")
    each.sum().backward()
    assert each.isnan().tolist() == leaf.grad.isnan().all(1).tolist() == [i == 2 for i in range(5)]


@pytest.mark.parametrize("case", REFUSED)
def test_viewpoint_loss_raises_for_invalid_arguments(case, device):
    changed, message = REFUSED[case]
    shapes = {"logits": (6, 12), "labels": (6,), "views": (6,), "present": (4, 3)}
    given = {
        name: value if not isinstance(value, tuple) else torch.zeros(value, device=device).long()
        for name, value in (shapes | changed).items()
    }
    given |= {"logits": given["logits"].float(), "present": given["present"] == 0}
    with pytest.raises(ValueError, match="viewpoint_loss: " + message):
        ops.viewpoint_loss(**given)


def test_viewpoint_loss_raises_for_other_dtypes(device):
    logits, labels, views, present = batch(4, 3, 3, device, masked=True)
    with pytest.raises(ValueError, match=r"views must be integers, got torch\.float64"):
        ops.viewpoint_loss(logits, labels, views.double())
    with pytest.raises(ValueError, match=r"present must be bool, got Long; call \.bool"):
        ops.viewpoint_loss(logits, labels, views, present=present.long())
    with pytest.raises(ValueError, match="logits must be float32 or float64, got Long"):
        ops.viewpoint_loss(logits.long(), labels, views)
