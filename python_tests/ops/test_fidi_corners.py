"""FIDI loss: edge cases, torch integration and errors."""

import math

import pytest
import torch
from fidi_cases import DTYPES, assert_matches, batch
from reference.pairwise_losses import divergence, fidi

from reid_ext import ops

# --- edge cases -----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 1])
def test_fidi_loss_and_gradient_are_zero_without_pairs(rows, device):
    x = torch.randn(rows, 4, device=device, requires_grad=True)
    y = torch.zeros(rows, dtype=torch.int64, device=device)
    for aggregation in ("mean", "sum"):
        loss = ops.fidi_loss(x, y, aggregation=aggregation)
        (grad,) = torch.autograd.grad(loss, x)
        assert loss.item() == 0 and grad.shape == x.shape and not grad.any()


@pytest.mark.parametrize("n, m", [(0, 3), (3, 0), (0, 0)])
def test_fidi_loss_is_zero_without_anchors_or_keys(n, m, device):
    (x, y), (keys, key_y) = batch(n, 4, device), batch(m, 4, device)
    leaves = x.requires_grad_(), keys.requires_grad_()
    loss = ops.fidi_loss(x, y, keys=keys, key_labels=key_y)
    grads = torch.autograd.grad(loss, leaves)
    assert loss.item() == 0 and not any(grad.any() for grad in grads)


@pytest.mark.parametrize("labels", [[7] * 6, [0, 1, 2, 3, 4, 5]])
def test_fidi_loss_matches_for_one_identity_and_for_distinct_ones(labels, device):
    x, y = batch(6, 4, device)[0].requires_grad_(), torch.tensor(labels, device=device)
    assert_matches(ops.fidi_loss(x, y), fidi(x, y), x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fidi_gradient_between_equal_rows_is_zero(dtype, device):
    x = torch.full((300, 5), 0.1, device=device, dtype=dtype, requires_grad=True)
    y = torch.arange(300, device=device) % 2
    loss = ops.fidi_loss(x, y)
    loss.backward()
    negatives = 150 / 299  # share of the other rows
    assert loss.item() == pytest.approx(negatives * math.log(21), rel=1e-6)
    assert not x.grad.any()


def test_fidi_loss_matches_reference_with_duplicate_rows(device):
    x, y = batch(40, 6, device)
    x[10:20] = x[:10]
    got = x.clone().requires_grad_()
    ops.fidi_loss(got, y, aggregation="sum").backward()
    want = torch.zeros_like(x)
    for i in range(40):  # only pairs of different rows
        row = x[i : i + 1].clone().requires_grad_()
        others = (x != x[i]).any(1)
        fidi(row, y[i : i + 1], x[others], y[others], aggregation="sum").backward()
        want[i] = 2 * row.grad
    torch.testing.assert_close(got.grad, want)


@pytest.mark.parametrize("rows", [6, 300])
def test_fidi_loss_is_accurate_for_nearly_equal_rows(rows, device):
    x, y = batch(rows, 8, device)
    x = (1000 + 1e-2 * x).float()  # a float32 product gives |x - y|^2 with an error of about 1
    x.requires_grad_()
    assert_matches(ops.fidi_loss(x, y), fidi(x, y), x, rtol=1e-4, atol=1e-6)
    keys, key_y = x.detach()[::2].clone().requires_grad_(), y[::2]
    got = ops.fidi_loss(x, y, keys=keys, key_labels=key_y)
    leaf = keys.detach().clone().requires_grad_()
    both = torch.autograd.grad(got, (x, keys))
    i, j = (x[:, None] != leaf).any(2).nonzero().unbind(1)  # the reference leaves out equal pairs
    u = torch.exp(-0.5 * (x[i].double() - leaf[j].double()).norm(dim=1))
    k = (y[i] == key_y[j]).double()
    want = (divergence(u, k, 1.05) + divergence(k, u, 1.05)).sum() / (len(x) * len(leaf))
    wanted = torch.autograd.grad(want, (x, leaf))
    torch.testing.assert_close(both, wanted, rtol=1e-4, atol=1e-7)


def test_fidi_gradient_of_zero_rows_is_zero_when_normalized(device):
    x, y = batch(9, 4, device, torch.float32)
    x[[2, 5]] = 0
    x.requires_grad_()
    loss = ops.fidi_loss(x, y, normalize=True)
    torch.testing.assert_close(loss, fidi(x, y, normalize=True).float())
    loss.backward()
    assert x.grad.isfinite().all() and not x.grad[[2, 5]].any() and x.grad[0].any()


@pytest.mark.parametrize("length", [1e-15, 1e-3, 1e3, 1e15])
def test_fidi_loss_ignores_row_norms_when_normalized(length, device):
    x, y = batch(9, 4, device, torch.float32)
    want, got = (ops.fidi_loss(t, y, normalize=True) for t in (x, x * length))
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e25])
@pytest.mark.parametrize("normalize", [False, True])
def test_fidi_loss_propagates_nan_and_infinity(normalize, value, device):
    x, y = batch(9, 4, device, torch.float32)
    x[3, 1] = value  # the square of 1e25 overflows
    x.requires_grad_()
    loss = ops.fidi_loss(x, y, normalize=normalize)
    loss.backward()
    assert loss.isnan() and x.grad[3].isnan().any()


def test_fidi_gradient_is_permuted_with_the_batch(device):
    x, y = batch(50, 8, device)
    order = torch.randperm(50, device=device)
    one, other = x.clone().requires_grad_(), x[order].clone().requires_grad_()
    losses_ = ops.fidi_loss(one, y), ops.fidi_loss(other, y[order])
    torch.testing.assert_close(*losses_)
    torch.testing.assert_close(
        torch.autograd.grad(losses_[1], other)[0], torch.autograd.grad(losses_[0], one)[0][order]
    )


def test_fidi_gradients_sum_to_zero(device):
    (x, y), (keys, key_y) = (batch(rows, 5, device, identities=9) for rows in (300, 70))
    leaves = x.requires_grad_(), keys.requires_grad_()
    loss = ops.fidi_loss(x, y, keys=keys, key_labels=key_y, aggregation="sum")
    grad_x, grad_keys = torch.autograd.grad(loss, leaves)
    torch.testing.assert_close(grad_x.sum(0), -grad_keys.sum(0))


@pytest.mark.parametrize("own_keys, n", [(True, 600), (True, 1100), (False, 600)])
def test_fidi_loss_is_bit_identical_in_runs_and_threads(own_keys, n, threads, device):
    (x, y), (keys, key_y) = (batch(rows, 300, device, torch.float32) for rows in (n, 500))
    x[100:120] = x[:20] + 1e-4  # some nearly equal rows
    leaves = [x.requires_grad_()] + ([] if own_keys else [keys.requires_grad_()])
    runs = []
    for count in (1, 1, 2):
        threads(count)
        two_sets = {} if own_keys else {"keys": keys, "key_labels": key_y}
        loss = ops.fidi_loss(x, y, **two_sets)
        runs.append((loss, *torch.autograd.grad(loss, leaves)))
    for one, *others in zip(*runs, strict=True):
        assert all(torch.equal(other, one) for other in others)


# --- registration and errors ----------------------------------------------------------------


def test_fidi_loss_is_registered_correctly(device):
    (x, y), (keys, key_y) = batch(6, 3, device), batch(9, 3, device)
    op = torch.ops.reid_ext.fidi_loss.default
    shape = (1.05, 0.5, True)
    torch.library.opcheck(op, (x, y, None, None, *shape, False, False))
    x.requires_grad_()
    torch.library.opcheck(op, (x, y, None, None, *shape, True, False))
    torch.library.opcheck(op, (x, y, keys.requires_grad_(), key_y, *shape, True, True))
    backward = torch.ops.reid_ext.fidi_loss_backward.default
    torch.library.opcheck(
        backward, (torch.tensor(2.0, device=device), keys.detach(), keys.detach())
    )


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_fidi_loss_compiles_to_one_graph(dynamic, device):
    def both(x, y, keys, key_y):
        return ops.fidi_loss(x, y, normalize=True) + ops.fidi_loss(
            x, y, keys=keys, key_labels=key_y
        )

    compiled = torch.compile(both, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for rows in (9, 12) if dynamic else (9,):
        (x, y), (keys, key_y) = (batch(r, 5, device, identities=2) for r in (rows, 2 * rows))
        leaves = x.requires_grad_(), keys.requires_grad_()
        got, want = (f(x, y, keys, key_y) for f in (compiled, both))
        assert_matches(got, want, leaves)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x, y, keys, key_y), want)


@pytest.mark.parametrize("autocast_to", [torch.bfloat16, torch.float16])
def test_fidi_loss_runs_in_float32_under_autocast(autocast_to, device):
    x, y = batch(40, 9, device, torch.float32)
    want = ops.fidi_loss(x.requires_grad_(), y)
    with torch.autocast(device.type, autocast_to):
        got = ops.fidi_loss(x, y)
    assert got.dtype == torch.float32
    assert_matches(got, want, x, rtol=0, atol=0)


def test_fidi_loss_skips_gradients_that_are_not_required(device):
    x, y = batch(9, 4, device)
    with torch.no_grad():
        loss = ops.fidi_loss(x.requires_grad_(), y)
    assert not loss.requires_grad
    with torch.inference_mode():
        assert torch.equal(ops.fidi_loss(x, y), loss)


def test_fidi_backward_raises_when_the_gradient_was_skipped(device):
    x, y = batch(9, 4, device)
    op = torch.ops.reid_ext.fidi_loss.default
    loss, _, _ = op(x.requires_grad_(), y, None, None, 1.05, 0.5, True, False, False)
    with pytest.raises(RuntimeError, match="with_grad_x must be True when x requires a gradient"):
        loss.backward()


def test_fidi_loss_raises_for_second_derivative(device):
    x, y = batch(6, 3, device, identities=2)
    (grad,) = torch.autograd.grad(ops.fidi_loss(x.requires_grad_(), y), x, create_graph=True)
    with pytest.raises(RuntimeError, match="fidi_loss is differentiable once; a second"):
        grad.sum().backward()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"alpha": 1.0}, "alpha must be a finite number above 1, got 1; at alpha = 1"),
        ({"alpha": 0.5}, "alpha must be a finite number above 1, got 0.5"),
        ({"alpha": math.nan}, "alpha must be a finite number, got nan"),
        ({"alpha": math.inf}, "alpha must be a finite number, got inf"),
        ({"beta": 0.0}, "beta must be a finite number above 0, got 0"),
        ({"beta": -1.0}, "beta must be a finite number above 0, got -1"),
        ({"aggregation": "none"}, "aggregation must be one of 'mean', 'sum', got 'none'"),
    ],
)
def test_fidi_loss_raises_for_invalid_options(options, message, device):
    with pytest.raises(ValueError, match=f"fidi_loss: {message}"):
        ops.fidi_loss(*batch(4, 3, device), **options)


def test_fidi_loss_raises_for_invalid_tensors(device):
    (x, y), (keys, key_y) = batch(8, 4, device), batch(5, 4, device)
    with pytest.raises(ValueError, match=r"x must have shape \(N, D\), got \(8,\)"):
        ops.fidi_loss(x[:, 0], y)
    with pytest.raises(ValueError, match=r"labels must have shape \(8,\) to go with x, got"):
        ops.fidi_loss(x, y[:3])
    with pytest.raises(ValueError, match=r"labels must be integers, got torch.float64"):
        ops.fidi_loss(x, y.double())
    with pytest.raises(ValueError, match="keys and key_labels must be given together"):
        ops.fidi_loss(x, y, keys=keys)
    with pytest.raises(ValueError, match=r"keys must have shape \(5, 4\) to go with x, got"):
        ops.fidi_loss(x, y, keys=keys[:, :3], key_labels=key_y)
    with pytest.raises(ValueError, match="keys must be Double like x, got Float"):
        ops.fidi_loss(x, y, keys=keys.float(), key_labels=key_y)
    with pytest.raises(ValueError, match=r"key_labels must have shape \(5,\) to go with keys"):
        ops.fidi_loss(x, y, keys=keys, key_labels=y)
