"""Cosine and angle matrices: comparison with plain PyTorch, edge cases and errors."""

import math

import pytest
import torch
from reference.distances import cosines

from reid_ext import ops


def rows(*shape, device, dtype=torch.float64):
    return torch.randn(*shape, device=device, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "batch, n, m, dim",
    [
        ((), 0, 3, 4),
        ((), 3, 0, 4),
        ((), 1, 1, 1),
        ((), 70, 33, 300),
        ((2, 3), 5, 7, 9),
        ((0,), 2, 2, 2),
    ],
)
def test_cosine_matrix_matches_definition(batch, n, m, dim, dtype, device):
    x, y = (
        rows(*batch, n, dim, device=device, dtype=dtype),
        rows(*batch, m, dim, device=device, dtype=dtype),
    )
    torch.testing.assert_close(ops.cosine_matrix(x, y), cosines(x, y))
    torch.testing.assert_close(ops.cosine_matrix(x, y, angle=True), cosines(x, y).acos())


def test_cosine_matrix_compares_x_with_itself_without_y(device):
    x = rows(2, 6, 40, device=device, dtype=torch.float32)
    torch.testing.assert_close(ops.cosine_matrix(x), cosines(x, x))
    assert not ops.cosine_matrix(x, angle=True).diagonal(dim1=1, dim2=2).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_cosine_matrix_computes_half_inputs_in_float32(dtype, device):
    x, y = rows(5, 64, device=device, dtype=dtype), rows(6, 64, device=device, dtype=dtype)
    torch.testing.assert_close(ops.cosine_matrix(x, y), cosines(x.float(), y.float()))


@pytest.mark.parametrize("theta", [0.0, 1e-6, 1e-3, 0.09, 0.11, 1.0, 3.03, math.pi - 1e-3, math.pi])
def test_angle_is_accurate_near_0_and_pi(theta, device):
    x = torch.tensor([[3.0, 0.0]], device=device)
    y = torch.tensor([[math.cos(theta), math.sin(theta)]], device=device, dtype=torch.float64)
    got = ops.cosine_matrix(x, y.float(), angle=True).item()
    assert got == pytest.approx(theta, abs=1e-6)  # plain arccos has an error of 3e-4
    assert 0 <= got <= math.pi + 1e-6


@pytest.mark.parametrize("angle", [False, True])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_cosine_matrix_gradient_matches_finite_differences(batch, angle, device):
    x, y = rows(*batch, 4, 5, device=device), rows(*batch, 3, 5, device=device)

    def op(x, y):
        return ops.cosine_matrix(x, y, angle=angle)

    assert torch.autograd.gradcheck(op, (x.requires_grad_(), y.requires_grad_()))
    weight = rows(4, 4, device=device).triu(
        1
    )  # not symmetric, and without the diagonal, where the angle is not differentiable
    assert torch.autograd.gradcheck(lambda x: op(x, None) * weight, (x,))


def test_angle_gradient_is_finite_at_0_and_pi(device):
    x = torch.tensor([[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0]], device=device, requires_grad=True)
    ops.cosine_matrix(x, angle=True).sum().backward()
    assert torch.isfinite(x.grad).all() and x.grad.abs().max() < 1


def test_zero_row_has_cosine_0_and_zero_gradient(device):
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0]], device=device, requires_grad=True)
    assert ops.cosine_matrix(x)[0].tolist() == [0, 0]
    angles = ops.cosine_matrix(x, angle=True)
    torch.testing.assert_close(angles[0], torch.full((2,), math.pi / 2, device=device))
    angles.sum().backward()
    assert not x.grad[0].any() and torch.isfinite(x.grad).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("angle", [False, True])
def test_nan_and_infinity_affect_only_their_row_and_column(angle, bad, device):
    x = rows(3, 4, device=device)
    x[1, 2] = bad
    want = [[False, True, False], [True, True, True], [False, True, False]]
    assert ops.cosine_matrix(x, angle=angle).isnan().tolist() == want


def test_cosine_matrix_accepts_strided_rows(device):
    x, y = rows(6, 5, device=device).t(), rows(4, 12, device=device)[:, ::2]
    torch.testing.assert_close(ops.cosine_matrix(x, y), cosines(x, y))


def test_cosine_stays_in_range_for_long_rows(device):
    x = rows(50, 7, device=device, dtype=torch.float32) * 1e10
    assert ops.cosine_matrix(x).abs().max() <= 1


def test_cosine_matrix_is_bit_identical_in_two_runs(device):
    x, grad = rows(300, 20, device=device), rows(300, 300, device=device)
    runs = []
    for _ in range(2):
        leaf = x.clone().requires_grad_()
        out = ops.cosine_matrix(leaf, angle=True)
        out.backward(grad)
        runs.append((out, leaf.grad))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_cosine_matrix_raises_for_second_derivative(device):
    x = rows(3, 4, device=device).requires_grad_()
    (grad,) = torch.autograd.grad(ops.cosine_matrix(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="cosine_matrix is differentiable once"):
        grad.sum().backward()


def test_cosine_matrix_is_registered_correctly(device):
    x, y = rows(2, 4, 5, device=device), rows(2, 3, 5, device=device)
    arguments = (x.requires_grad_(), y.requires_grad_(), True)
    torch.library.opcheck(torch.ops.reid_ext.cosine_matrix.default, arguments)


@pytest.mark.slow
@pytest.mark.parametrize("angle", [False, True])
def test_cosine_matrix_compiles_to_one_graph(angle, device):
    compiled = torch.compile(ops.cosine_matrix, fullgraph=True, backend="aot_eager", dynamic=True)
    x, y = rows(4, 5, device=device).requires_grad_(), rows(3, 5, device=device)
    torch.testing.assert_close(compiled(x, y, angle=angle), ops.cosine_matrix(x, y, angle=angle))


def test_cosine_matrix_runs_in_float32_under_autocast(device):
    x = rows(4, 5, device=device, dtype=torch.bfloat16)
    with torch.autocast(device.type, torch.bfloat16):
        assert ops.cosine_matrix(x).dtype == torch.float32


def test_cosine_matrix_raises_for_invalid_arguments(device):
    x = rows(8, 16, device=device)
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., N, D\), got \(8,\)"):
        ops.cosine_matrix(x[:, 0])
    with pytest.raises(ValueError, match=r"y must have shape \(M, 16\) to go with x, got"):
        ops.cosine_matrix(x, x[:, :12])
    with pytest.raises(ValueError, match="y must be Double like x, got Float"):
        ops.cosine_matrix(x, x.float())
    with pytest.raises(ValueError, match="x must be float32 or float64, got Long"):
        ops.cosine_matrix(x.long(), x.long())
