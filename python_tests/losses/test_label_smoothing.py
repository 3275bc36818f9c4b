"""Adaptive label smoothing: comparison of both variants with their definition, and errors."""

import pytest
import torch
import torch.nn.functional as F
from reference.classification_losses import label_smoothing, smoothed_labels

from reid_ext import losses, ops

ALPHA = 0.25
VARIANTS = ["paper", "released"]


def batch(rows, classes, device, dtype=torch.float64):
    logits = 3 * torch.randn(rows, classes, device=device, dtype=torch.float64)
    return logits.to(dtype), torch.randint(classes, (rows,), device=device)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("rows, classes", [(0, 4), (1, 1), (5, 1), (6, 2), (33, 100), (3, 3000)])
def test_label_smoothing_and_gradient_match_reference(rows, classes, variant, dtype, device):
    logits, y = batch(rows, classes, device, dtype)
    leaf, exact = logits.requires_grad_(), logits.detach().double().requires_grad_()
    each = ops.adaptive_label_smoothing_loss(leaf, y, variant=variant, aggregation="none")
    want = label_smoothing(exact, y, ALPHA, variant)
    torch.testing.assert_close(each, want.to(dtype))
    got = losses.AdaptiveLabelSmoothingLoss(ALPHA, variant)(leaf, y)
    mean = want.sum() / max(rows, 1)
    torch.testing.assert_close(got, mean.to(dtype))
    torch.testing.assert_close(
        *(torch.autograd.grad(*pair)[0].to(dtype) for pair in ((got, leaf), (mean, exact)))
    )


def test_label_smoothing_paper_labels_match_hand_computation(device):
    q = torch.tensor([[0.5, 0.2, 0.3]], device=device, dtype=torch.float64)
    y = torch.tensor([1], device=device)
    smoothed = ALPHA * (1 - 0.2)
    t = [smoothed / 2, 1 - smoothed, smoothed / 2]
    want = -sum(label * p.log() for label, p in zip(t, q[0], strict=True))
    torch.testing.assert_close(ops.adaptive_label_smoothing_loss(q.log(), y), want)


def test_label_smoothing_released_labels_match_hand_computation(device):
    q = torch.tensor([[0.5, 0.2, 0.3]], device=device, dtype=torch.float64)
    y = torch.tensor([1], device=device)
    t = [ALPHA * 0.5 / 2, 1 - ALPHA * 0.8 + ALPHA * 0.8 / 2, ALPHA * 0.7 / 2]
    want = -sum(label * p.log() for label, p in zip(t, q[0], strict=True))
    got = ops.adaptive_label_smoothing_loss(q.log(), y, variant="released")
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("variant", VARIANTS)
def test_label_smoothing_labels_sum_as_documented(variant, device):
    logits, y = batch(20, 6, device)
    q = logits.softmax(1)
    surplus = ALPHA * q.gather(1, y[:, None])[:, 0] if variant == "released" else 0 * q[:, 0]
    t = smoothed_labels(q, y, ALPHA, variant)
    torch.testing.assert_close(t.sum(1), 1 + surplus)
    leaf = logits.requires_grad_()
    each = ops.adaptive_label_smoothing_loss(leaf, y, variant=variant, aggregation="none")
    each.sum().backward()
    torch.testing.assert_close((1 + surplus[:, None]) * q.detach() - leaf.grad, t.detach())


def test_label_smoothing_equals_viewpoint_loss_of_one_view(device):
    logits, y = batch(9, 5, device)
    got = ops.viewpoint_loss(logits, y, torch.zeros_like(y), num_views=1)
    assert torch.equal(got, ops.adaptive_label_smoothing_loss(logits, y))


@pytest.mark.parametrize("variant", VARIANTS)
def test_label_smoothing_is_cross_entropy_when_alpha_is_0(variant, device):
    logits, y = batch(9, 5, device)
    got = ops.adaptive_label_smoothing_loss(logits, y, alpha=0.0, variant=variant)
    torch.testing.assert_close(got, F.cross_entropy(logits, y))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [0.0, 1e4, 1e30])
def test_label_smoothing_is_finite_for_logits_of_any_size(size, variant, device):
    logits, y = batch(30, 6, device, torch.float32)
    leaf = (logits.sign() * size).requires_grad_()
    each = ops.adaptive_label_smoothing_loss(leaf, y, variant=variant, aggregation="none")
    each.sum().backward()
    torch.testing.assert_close(each, label_smoothing(leaf, y, ALPHA, variant).float())
    assert leaf.grad.isfinite().all()


def test_label_smoothing_and_gradient_are_zero_without_rows(device):
    logits = torch.randn(0, 4, device=device, requires_grad=True)
    loss = losses.AdaptiveLabelSmoothingLoss()(logits, torch.tensor([], device=device))
    loss.backward()
    assert loss.item() == 0 and logits.grad.shape == (0, 4)


@pytest.mark.slow
def test_label_smoothing_compiles_to_one_graph(device):
    logits, y = batch(6, 5, device)
    loss = losses.AdaptiveLabelSmoothingLoss(variant="released")
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager", dynamic=True)
    torch.testing.assert_close(compiled(logits, y), loss(logits, y))


def test_label_smoothing_runs_in_float32_under_autocast(device):
    logits, y = batch(6, 5, device, torch.bfloat16)
    with torch.autocast(device.type, torch.bfloat16):
        got = ops.adaptive_label_smoothing_loss(logits, y)
    assert torch.equal(got, ops.adaptive_label_smoothing_loss(logits.float(), y))


@pytest.mark.parametrize("label", [-1, 5, 2**62])
def test_label_out_of_range_raises_on_cpu_and_is_nan_on_cuda(label, device):
    logits, y = batch(4, 5, device)
    y[2] = label
    if device.type == "cpu":
        name = "adaptive_label_smoothing_loss: labels must be in"
        with pytest.raises(ValueError, match=name + rf" \[0, 5\), got {label} in row 2"):
            ops.adaptive_label_smoothing_loss(logits, y)
        return
    each = ops.adaptive_label_smoothing_loss(logits, y, aggregation="none")
    assert each.isnan().tolist() == [False, False, True, False]


def test_label_smoothing_raises_for_invalid_arguments(device):
    logits, y = batch(4, 5, device)
    with pytest.raises(ValueError, match=r"adaptive_label_smoothing_loss: logits .* \(N, C\)"):
        ops.adaptive_label_smoothing_loss(logits[0], y)
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\], got 1.5"):
        ops.adaptive_label_smoothing_loss(logits, y, alpha=1.5)
    with pytest.raises(ValueError, match="variant must be one of 'paper', 'released', got 'mean'"):
        ops.adaptive_label_smoothing_loss(logits, y, variant="mean")
