"""Viewpoint loss of VA-reID: comparison with its definition row by row."""

import pytest
import torch
import torch.nn.functional as F
from reference.classification_losses import TARGETS, viewpoint, viewpoint_labels
from viewpoint_cases import ALPHA, batch

from reid_ext import ops


def labels_used(logits, labels, views, **choices):
    """Return the labels t that the op used, (N, C * V), from the gradient r - t."""
    logits = logits.detach().requires_grad_()
    ops.viewpoint_loss(logits, labels, views, aggregation="none", **choices).sum().backward()
    present = choices.get("present")
    z = logits.detach() if present is None else logits.masked_fill(~present.flatten(), -torch.inf)
    return (z.softmax(1) - logits.grad).detach()


SHAPES = [(0, 3, 3), (1, 1, 1), (5, 1, 3), (6, 4, 1), (9, 40, 2), (33, 50, 3), (3, 700, 5)]


def batch_again(rows, device):
    """Return the logits that batch() sampled first, before rounding."""
    torch.manual_seed(0)
    return batch(rows, 6, 3, device)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_viewpoint_loss_and_gradient_match_reference(shape, masked, targets, dtype, device):
    logits, labels, views, present = batch(*shape, device, dtype, masked)
    views[1::4] = -1
    choices = {"num_views": shape[2], "targets": targets, "present": present}
    leaf = logits.requires_grad_()
    got = ops.viewpoint_loss(leaf, labels, views, **choices)
    each = ops.viewpoint_loss(leaf, labels, views, **choices, aggregation="none")
    exact = logits.detach().double().requires_grad_()
    want = viewpoint(exact, labels, views, **choices)
    torch.testing.assert_close(each, want.to(dtype), equal_nan=True)
    mean = want.nansum() / (views >= 0).sum().clamp(min=1)
    torch.testing.assert_close(got, mean.to(dtype))
    (grad,) = torch.autograd.grad(got, leaf)
    (want_grad,) = torch.autograd.grad(mean, exact)
    torch.testing.assert_close(grad, want_grad.to(dtype))


def test_viewpoint_loss_with_hard_labels_is_cross_entropy(device):
    logits, labels, views, _ = batch(9, 5, 3, device)
    got = ops.viewpoint_loss(logits, labels, views, targets="hard")
    torch.testing.assert_close(got, F.cross_entropy(logits, labels * 3 + views))


def test_viewpoint_adaptive_labels_match_the_paper(device):
    r = torch.tensor([[0.1, 0.4, 0.1], [0.2, 0.1, 0.1]], device=device, dtype=torch.float64)
    y, v = torch.tensor([[0], [1]], device=device)
    e1, e2 = ALPHA * (1 - 0.6), ALPHA * (1 - 0.4)
    view, elsewhere = e2 / 2, e1 / (6 - 3)
    want = torch.tensor([[view, 1 - e1 - e2, view, elsewhere, elsewhere, elsewhere]])
    torch.testing.assert_close(labels_used(r.log().view(1, 6), y, v).cpu(), want.double())


@pytest.mark.parametrize(
    "present, want",
    [
        ([1, 1, 1, 1, 1, 1], [0.6 + 0.1 / 6, 0.15 + 0.1 / 6, 0.15 + 0.1 / 6, *[0.1 / 6] * 3]),
        ([1, 0, 1, 1, 1, 0], [0.6 + 0.1 / 4, 0, 0.30 + 0.1 / 4, 0.1 / 4, 0.1 / 4, 0]),
        ([1, 0, 0, 1, 1, 1], [0.9 + 0.1 / 4, 0, 0, 0.1 / 4, 0.1 / 4, 0.1 / 4]),
    ],
)
def test_viewpoint_fixed_labels_match_for_3_2_and_1_views(present, want, device):
    mask = torch.tensor(present, device=device).bool().view(2, 3)
    y = v = torch.zeros(1, dtype=torch.int64, device=device)
    logits = torch.randn(1, 6, device=device, dtype=torch.float64)
    got = labels_used(logits, y, v, targets="fixed", present=mask)
    torch.testing.assert_close(got.cpu(), torch.tensor([want], dtype=torch.float64))


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("masked", [False, True])
def test_viewpoint_labels_are_probabilities(masked, targets, device):
    logits, labels, views, present = batch(40, 6, 3, device, masked=masked)
    t = labels_used(3 * logits, labels, views, targets=targets, present=present)
    torch.testing.assert_close(t.sum(1), torch.ones_like(t[:, 0]))
    assert t.min() > -1e-12


def test_viewpoint_labels_are_hard_when_alpha_is_0(device):
    logits, labels, views, _ = batch(9, 5, 3, device)
    hard = ops.viewpoint_loss(logits, labels, views, targets="hard")
    torch.testing.assert_close(ops.viewpoint_loss(logits, labels, views, alpha=0.0), hard)


@pytest.mark.parametrize("targets", TARGETS)
def test_viewpoint_losses_are_permuted_with_the_rows(targets, device):
    logits, labels, views, present = batch(20, 6, 3, device, masked=True)
    order = torch.randperm(20, device=device)
    choices = {"targets": targets, "present": present, "aggregation": "none"}
    each = ops.viewpoint_loss(logits, labels, views, **choices)
    got = ops.viewpoint_loss(logits[order], labels[order], views[order], **choices)
    assert torch.equal(got, each[order])


# --- rows and classes that are left out -------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 3])
def test_viewpoint_loss_is_zero_without_known_views(rows, device):
    logits = torch.randn(rows, 12, device=device, requires_grad=True)
    labels = torch.full((rows,), 2**62, device=device)  # the labels are not used
    loss = ops.viewpoint_loss(logits, labels, torch.full((rows,), -1, device=device))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e30])
@pytest.mark.parametrize("targets", TARGETS)
def test_viewpoint_loss_ignores_logits_of_missing_classes(targets, value, device):
    logits, labels, views, present = batch(9, 6, 3, device, torch.float32, masked=True)
    grads = []
    for absent in (0.0, value):
        leaf = logits.masked_fill(~present.flatten(), absent).requires_grad_()
        ops.viewpoint_loss(leaf, labels, views, targets=targets, present=present).backward()
        grads.append(leaf.grad)
    assert torch.equal(*grads) and not grads[1][:, ~present.flatten()].any()


# --- values and types of logits ---------------------------------------------------------------


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4, 1e30])
def test_viewpoint_loss_is_finite_for_logits_of_any_size(size, targets, device):
    logits, labels, views, _ = batch(30, 6, 3, device, torch.float32)
    leaf = (logits.sign() * size).requires_grad_()
    each = ops.viewpoint_loss(leaf, labels, views, targets=targets, aggregation="none")
    each.sum().backward()
    torch.testing.assert_close(each, viewpoint(leaf, labels, views, targets=targets).float())
    assert leaf.grad.isfinite().all() and leaf.grad.abs().max() <= 1


def test_viewpoint_gradient_is_accurate_for_certain_predictions(device):
    logits = torch.zeros(1, 30, device=device)
    logits[0, 4] = 25  # the probability rounds to 1 in float32
    y = v = torch.ones(1, dtype=torch.int64, device=device)
    exact = logits.double().requires_grad_()
    viewpoint(exact, y, v).sum().backward()
    ops.viewpoint_loss(logits.requires_grad_(), y, v).backward()
    torch.testing.assert_close(logits.grad, exact.grad.float(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("column", [0, 1, 5])  # the class, another view, another identity
def test_viewpoint_loss_treats_minus_infinity_like_torch(column, targets, device):
    logits = torch.randn(1, 6, device=device, dtype=torch.float64)
    logits[0, column] = -torch.inf
    y = v = torch.zeros(1, dtype=torch.int64, device=device)
    log_r = logits.log_softmax(1)
    own, every = torch.tensor([0], device=device), torch.ones(2, 3, device=device).bool()
    (t,) = viewpoint_labels(log_r.exp().view(1, 2, 3), own, own, every, targets, ALPHA)
    want = -torch.where(t.flatten() > 0, t.flatten() * log_r[0], 0).sum()
    leaf = logits.requires_grad_()
    loss = ops.viewpoint_loss(leaf, y, v, targets=targets)
    loss.backward()
    torch.testing.assert_close(loss.detach(), want)
    torch.testing.assert_close(leaf.grad[0], log_r[0].exp().detach() - t.flatten())


@pytest.mark.parametrize("targets", TARGETS)
def test_viewpoint_loss_keeps_nan_in_its_row(targets, device):
    for column in (0, 1, 17):
        logits, _, views, _ = batch(3, 6, 3, device)
        logits[1, column] = torch.nan
        leaf, labels = logits.requires_grad_(), torch.zeros_like(views)
        each = ops.viewpoint_loss(leaf, labels, 0 * views, targets=targets, aggregation="none")
        each.sum().backward()
        assert each.isnan().tolist() == [False, True, False]
        assert leaf.grad.isnan().any(1).tolist() == [False, True, False]


def test_viewpoint_loss_accepts_strided_logits(device):
    logits, labels, views, _ = batch(7, 4, 3, device)
    want = ops.viewpoint_loss(logits, labels, views)
    leaf = logits.t().contiguous().requires_grad_()
    got = ops.viewpoint_loss(leaf.t(), labels, views)
    got.backward()
    torch.testing.assert_close(got.detach(), want)
    assert leaf.grad.shape == (12, 7)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32])
def test_viewpoint_loss_accepts_any_integer_type(dtype, device):
    logits, labels, views, _ = batch(7, 4, 3, device)
    got = ops.viewpoint_loss(logits, labels.to(dtype), views.to(dtype))
    assert torch.equal(got, ops.viewpoint_loss(logits, labels, views))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_viewpoint_loss_computes_half_logits_in_float32(dtype, device):
    logits, labels, views, _ = batch(20, 6, 3, device, dtype)
    half, full = logits.requires_grad_(), logits.detach().float().requires_grad_()
    got, want = (ops.viewpoint_loss(leaf, labels, views) for leaf in (half, full))
    got.backward(), want.backward()
    assert got.dtype == torch.float32 and torch.equal(got, want)
    assert half.grad.dtype == dtype and torch.equal(half.grad, full.grad.to(dtype))
    # Compare with the reference on unrounded logits. Half types have 8 or 11 bits.
    exact = viewpoint(batch_again(20, device), labels, views).mean()
    tolerance = {torch.bfloat16: 2**-7, torch.float16: 2**-10}[dtype]
    torch.testing.assert_close(got.double(), exact, rtol=tolerance, atol=tolerance)
