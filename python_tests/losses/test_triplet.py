"""TripletLoss: comparison with the batch-hard formula over all triplets."""

import pytest
import torch
from reference.pairwise_losses import triplet

from reid_ext.losses import TripletLoss

METRICS = ["euclidean", "squared_euclidean", "cosine"]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("margin", [0.0, 0.3, None])
@pytest.mark.parametrize("rows, dim", [(4, 3), (33, 17), (64, 40)])
def test_triplet_loss_matches_reference(rows, dim, margin, metric, device):
    x = torch.randn(rows, dim, dtype=torch.float64, device=device, requires_grad=True)
    labels = torch.randint(max(rows // 4, 2), (rows,), device=device)
    labels[:3] = torch.tensor([0, 0, 1])  # at least one triplet
    expected = triplet(x, labels, margin=margin, metric=metric)
    loss = TripletLoss(margin, metric)(x, labels)
    torch.testing.assert_close(loss, expected)
    (grad,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(grad, torch.autograd.grad(expected, x)[0])


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], []])
@pytest.mark.parametrize("margin", [0.3, None])
def test_triplet_loss_and_gradient_are_zero_without_triplets(labels, margin, device):
    x = torch.randn(len(labels), 5, device=device, requires_grad=True)
    loss = TripletLoss(margin)(x, torch.tensor(labels, dtype=torch.int64, device=device))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_triplet_loss_leaves_out_anchors_without_a_triplet(device):
    x = torch.tensor([[0.0], [1.0], [3.0]], device=device, requires_grad=True)
    labels = torch.tensor([0, 0, 1], device=device)  # row 2 has no positive
    # d_ap - d_an + margin: row 0: 1 - 3 + 2.5 = 0.5; row 1: 1 - 2 + 2.5 = 1.5
    loss = TripletLoss(margin=2.5)(x, labels)
    loss.backward()
    assert loss.item() == pytest.approx(1.0)
    torch.testing.assert_close(x.grad, torch.tensor([[-0.5], [1.5], [-1.0]], device=device))


@pytest.mark.parametrize("margin", [-0.1, float("nan")])
def test_triplet_loss_raises_for_negative_margin(margin):
    with pytest.raises(ValueError, match="TripletLoss: margin must be a finite number >= 0"):
        TripletLoss(margin)


def test_triplet_loss_compares_with_keys_instead_of_the_batch(device):
    x, keys = torch.randn(4, 3, device=device), torch.randn(6, 3, device=device)
    y, key_y = torch.tensor([0, 1, 0, 1], device=device), torch.arange(6, device=device) % 2
    got = TripletLoss(margin=0.5)(x, y, keys=keys, key_labels=key_y)
    torch.testing.assert_close(got, triplet(x, y, keys, key_y, margin=0.5).float())
