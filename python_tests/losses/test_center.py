"""CenterLoss: comparison with its formula, and the recipe of expAT + center."""

import pytest
import torch
from reference.pairwise_losses import center

from reid_ext.losses import CenterLoss


def batch(device, dtype=torch.float64):
    loss = CenterLoss(4, 5).to(device, dtype)
    return loss, torch.randn(7, 5, device=device, dtype=dtype), torch.arange(7, device=device) % 3


def test_center_loss_is_the_mean_squared_distance_to_centres(device):
    loss, x, y = batch(device)
    torch.testing.assert_close(loss(x, y), center(x, y, loss.centers))


def test_center_loss_gradients_match_finite_differences(device):
    loss, x, y = batch(device)

    def function(x, centers):
        return torch.func.functional_call(loss, {"centers": centers}, (x, y))

    arguments = x.requires_grad_(), loss.centers.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(function, arguments)


def test_centre_without_a_row_has_zero_gradient(device):
    loss, x, y = batch(device)
    loss(x, y).backward()
    assert loss.centers.grad[:3].any(1).all() and not loss.centers.grad[3].any()


def test_rescaled_gradient_is_that_of_the_unweighted_loss(device):
    loss, x, y = batch(device)
    (want,) = torch.autograd.grad(loss(x, y), loss.centers)
    (0.0005 * loss(x, y)).backward()
    loss.rescale_gradient(0.0005)
    torch.testing.assert_close(loss.centers.grad, want)


def test_centres_converge_to_the_mean_of_their_features(device):
    loss, x, y = batch(device)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        (0.0005 * loss(x, y)).backward()
        loss.rescale_gradient(0.0005)
        optimizer.step()
    means = torch.stack([x[y == label].mean(0) for label in range(3)])
    torch.testing.assert_close(loss.centers[:3].detach(), means)


def test_center_loss_and_gradient_are_zero_without_rows(device):
    loss, x, y = batch(device)
    value = loss(x[:0].requires_grad_(), y[:0])
    value.backward()
    assert value.item() == 0 and not loss.centers.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_center_loss_computes_half_features_in_float32(dtype, device):
    loss, x, y = batch(device, torch.float32)
    got = loss(x.to(dtype), y)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, loss(x.to(dtype).float(), y))


@pytest.mark.slow
def test_center_loss_compiles_to_one_graph(device):
    loss, x, y = batch(device)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, y), loss(x, y))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x, y: (x[:, :4], y), r"features must have shape \(N, 5\), got \(7, 4\)"),
        (lambda x, y: (x[0], y), r"features must have shape \(N, 5\), got \(5,\)"),
        (lambda x, y: (x, y[:6]), r"labels must have shape \(7,\), .* got \(6,\)"),
    ],
)
def test_center_loss_raises_for_other_shapes(change, message, device):
    loss, x, y = batch(device)
    with pytest.raises(ValueError, match=message):
        loss(*change(x, y))


def test_center_loss_raises_for_labels_out_of_range():
    loss, x, y = batch("cpu")
    with pytest.raises(ValueError, match=r"labels must be in \[0, 4\), got 4 in row 0"):
        loss(x, y.clamp(min=2) + (y == 0) * 2)
    with pytest.raises(ValueError, match="got -1 in row"):
        loss(x, y - 1)


@pytest.mark.parametrize("label", [-100, -1, 4])
def test_compiled_center_loss_raises_for_labels_out_of_range(label):
    loss, x, y = batch("cpu")
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, y), loss(x, y))
    y[0] = label
    with pytest.raises(RuntimeError, match=r"CenterLoss: labels must be in \[0, 4\)"):
        compiled(x, y)


def test_center_loss_raises_for_invalid_sizes_and_weights():
    with pytest.raises(ValueError, match="num_identities must be an integer >= 1"):
        CenterLoss(0, 5)
    with pytest.raises(ValueError, match="feature_dim must be an integer >= 1"):
        CenterLoss(5, -1)
    with pytest.raises(ValueError, match="weight must be a finite number > 0, got 0"):
        CenterLoss(2, 2).rescale_gradient(0)
