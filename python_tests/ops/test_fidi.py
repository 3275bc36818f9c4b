"""FIDI loss: comparison with its definition for every pair."""

import math
from decimal import Decimal, getcontext

import pytest
import torch
from fidi_cases import DTYPES, assert_matches, batch
from reference.pairwise_losses import fidi

from reid_ext import losses, ops


def of_one_pair(d, same, device, dtype=torch.float64, **options):
    """Return the loss of two points at distance d on a line, and its derivative in d."""
    x = torch.tensor([[0.0]], device=device, dtype=dtype)
    key = torch.tensor([[d]], device=device, dtype=dtype, requires_grad=True)
    labels = torch.tensor([3, 3 if same else 4], device=device)
    loss = ops.fidi_loss(x, labels[:1], keys=key, key_labels=labels[1:], **options)
    loss.backward()
    return loss.item(), key.grad.item()


def exact_pair(d, same, alpha, beta):
    """Compute the same from the definition with 60 digits and a difference quotient."""
    getcontext().prec = 60
    alpha, c = Decimal(alpha), Decimal(alpha) - 1

    def loss(d):
        u = (-Decimal(beta) * d).exp()
        if not same:
            return u * (alpha / c).ln()
        return u * (alpha * u / (c * u + 1)).ln() + (alpha / (c + u)).ln()

    d, step = Decimal(d), Decimal(d) * Decimal("1e-20")
    return float(loss(d)), float((loss(d + step) - loss(d - step)) / (2 * step))


# --- values and gradients -------------------------------------------------------------------


@pytest.mark.parametrize(
    "d, positive, negative, positive_slope, negative_slope",
    [
        (0.1, 0.0022, 2.8960, 0.0437, -1.4480),
        (0.5, 0.0501, 2.3711, 0.1883, -1.1855),
        (1, 0.1778, 1.8466, 0.3135, -0.9233),
        (2, 0.5647, 1.1200, 0.4379, -0.5600),
        (5, 1.8716, 0.2499, 0.3706, -0.1250),
        (10, 2.8847, 0.0205, 0.0727, -0.0103),
        (20, 3.0432, 0.0001, 0.0007, -0.0001),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_fidi_loss_matches_hand_computed_values(
    dtype, d, positive, negative, positive_slope, negative_slope, device
):
    table = ((True, (positive, positive_slope)), (False, (negative, negative_slope)))
    for same, want in table:  # computed by hand, rounded to four decimals
        assert of_one_pair(d, same, device, dtype) == pytest.approx(want, abs=5.1e-5)


@pytest.mark.parametrize("alpha", [1 + 2**-40, 1.001, 1.05, 2.0, 50.0])
@pytest.mark.parametrize("d", [2.0**-40, 2.0**-10, 0.03, 0.7, 3.0, 11.0, 40.0, 160.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_fidi_loss_is_accurate_at_all_distances_and_alphas(dtype, d, alpha, device):
    # The rounding of beta * d affects u, and that of u near 1 affects 1 - u: about 30 ulp.
    digits = 4e-6 if dtype == torch.float32 else 4e-14
    for same in (True, False):
        want = exact_pair(d, same, alpha, 0.5)
        assert of_one_pair(d, same, device, dtype, alpha=alpha) == pytest.approx(want, rel=digits)


@pytest.mark.parametrize("alpha", [1.05, 1.0001, 3.0])
def test_fidi_loss_of_far_pairs_reaches_the_bound(alpha, device):
    for d in (1e3, 1e10, 1e18):
        loss, slope = of_one_pair(d, True, device, torch.float32, alpha=alpha)
        assert loss == pytest.approx(math.log(alpha / (alpha - 1)), rel=1e-6)
        assert abs(slope) < 1e-30
        assert of_one_pair(d, False, device, torch.float32, alpha=alpha) == (0, 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [{}, {"normalize": True}, {"alpha": 1.3, "beta": 2.0}])
@pytest.mark.parametrize("rows, dim", [(2, 1), (4, 0), (33, 7), (70, 300), (300, 4), (530, 6)])
def test_fidi_loss_matches_reference(rows, dim, options, dtype, device):
    x, y = batch(rows, dim, device, dtype)
    x.requires_grad_()
    assert_matches(ops.fidi_loss(x, y, **options), fidi(x, y, **options), x)


def test_fidi_loss_matches_reference_for_a_large_batch(device):
    x, y = batch(1100, 4, device, identities=30)
    x.requires_grad_()
    assert_matches(ops.fidi_loss(x, y), fidi(x, y), x)


@pytest.mark.parametrize("aggregation", ["mean", "sum"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("n, m", [(1, 1), (3, 32), (40, 31), (7, 300), (300, 2100)])
def test_fidi_loss_matches_reference_with_keys(n, m, normalize, aggregation, device):
    (x, y), (keys, key_y) = (batch(rows, 6, device, identities=9) for rows in (n, m))
    leaves = x.requires_grad_(), keys.requires_grad_()
    options = {"normalize": normalize, "aggregation": aggregation}
    got = ops.fidi_loss(x, y, keys=keys, key_labels=key_y, **options)
    assert_matches(got, fidi(x, y, keys, key_y, **options), leaves)


def test_fidi_loss_sum_is_the_mean_times_the_number_of_pairs(device):
    x, y = batch(9, 4, device)
    mean, total = (ops.fidi_loss(x, y, aggregation=a) for a in ("mean", "sum"))
    torch.testing.assert_close(total, 72 * mean)


@pytest.mark.parametrize("options", [{}, {"normalize": True, "aggregation": "sum", "alpha": 1.5}])
def test_fidi_loss_gradient_matches_finite_differences(options, device):
    (x, _), (keys, _) = batch(6, 5, device), batch(9, 5, device)
    y, key_y = torch.arange(6, device=device) % 2, torch.arange(9, device=device) % 3
    x.requires_grad_(), keys.requires_grad_()

    def between(x, keys):
        return ops.fidi_loss(x, y, keys=keys, key_labels=key_y, **options)

    assert torch.autograd.gradcheck(lambda x: ops.fidi_loss(x, y, **options), x)
    for inputs in ((x, keys), (x.detach(), keys), (x, keys.detach())):
        assert torch.autograd.gradcheck(between, inputs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_fidi_loss_computes_half_input_in_float32(dtype, device):
    x, y = batch(20, 6, device, dtype)
    half, full = x.requires_grad_(), x.detach().float().requires_grad_()
    loss, want = ops.fidi_loss(half, y), ops.fidi_loss(full, y)
    assert torch.equal(loss, want)
    loss.backward(), want.backward()
    assert half.grad.dtype == dtype and torch.equal(half.grad, full.grad.to(dtype))


@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
def test_fidi_loss_of_half_input_has_only_its_rounding_error(dtype, tolerance, device):
    x, y = batch(20, 64, device)
    got, want = ops.fidi_loss(x.to(dtype), y).item(), ops.fidi_loss(x, y).item()
    # |dl/dz| is at most 1.6, and the rounding of both rows changes z = beta d by beta times it.
    assert abs(got - want) < 1.6 * 0.5 * 2 * tolerance * x.norm(dim=1).max()


def test_fidi_loss_accepts_labels_of_any_integer_type(device):
    x, y = batch(12, 4, device, identities=4)
    want = ops.fidi_loss(x, y)
    for dtype in (torch.uint8, torch.int8, torch.int32):
        assert torch.equal(ops.fidi_loss(x, y.to(dtype)), want)
    some = torch.tensor([-(2**63), -1, 2**32, 2**63 - 1], device=device)
    assert torch.equal(ops.fidi_loss(x, some[y]), want)


def test_fidi_loss_accepts_strided_rows(device):
    x, keys = torch.randn(6, 8, device=device).t(), torch.randn(6, 40, device=device).t()[::2]
    y, key_y = (torch.randint(3, (rows, 2), device=device)[:, 1] for rows in (8, 20))
    got = ops.fidi_loss(x, y, keys=keys, key_labels=key_y)
    torch.testing.assert_close(got, fidi(x, y, keys, key_y).float())


# --- the module -----------------------------------------------------------------------------


def test_fidi_module_returns_the_loss_of_the_op(device):
    (x, y), (keys, key_y) = batch(9, 4, device), batch(5, 4, device, identities=3)
    module = losses.FIDILoss(alpha=1.2, beta=0.7, normalize=True, aggregation="sum")
    options = {"alpha": 1.2, "beta": 0.7, "normalize": True, "aggregation": "sum"}
    torch.testing.assert_close(module(x, y), fidi(x, y, **options))
    torch.testing.assert_close(module(x, y, keys, key_y), fidi(x, y, keys, key_y, **options))


def test_gradient_descent_lowers_the_fidi_loss(device):
    x, y = batch(32, 8, device, torch.float32, identities=4)
    module, x = losses.FIDILoss(), x.requires_grad_()
    before = module(x, y).item()
    optimizer = torch.optim.Adam([x], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        module(x, y).backward()
        optimizer.step()
    assert module(x, y) < before / 4
