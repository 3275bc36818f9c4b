"""ViewpointAwareLoss of VA-reID and its regularisations."""

import pytest
import torch
from reference.classification_losses import TARGETS, viewpoint

from reid_ext import losses, ops
from reid_ext.losses.viewpoint import (
    angular_regularisation,
    euclidean_regularisation,
    present_views,
)


def whole(device, **choices):
    """Return a loss for 5 identities, where identity 2 lacks two views, and a batch."""
    present = torch.ones(5, 3, dtype=torch.bool, device=device)
    present[2, 1:] = False
    loss = losses.ViewpointAwareLoss(5, 8, present=present, **choices).to(device).double()
    nn_init(loss)
    features = torch.randn(6, 8, device=device, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 2, 3, 4], device=device)
    views = torch.tensor([0, 2, 0, -1, 1, 1], device=device)
    return loss, (features, labels, views)


def nn_init(loss):
    with torch.no_grad():
        for weight in loss.parameters():
            weight.normal_()


@pytest.mark.parametrize("labels", TARGETS)
def test_viewpoint_aware_loss_is_the_sum_of_its_parts(labels, device):
    loss, (x, y, v) = whole(device, labels=labels, beta=0.3)
    total = loss(x, y, v)
    weight = loss.view_weight.detach().flatten(0, 1)
    want = {
        "identity": ops.adaptive_label_smoothing_loss(x @ loss.identity_weight.detach().T, y),
        "viewpoint": viewpoint(x @ weight.T, y, v, targets=labels, present=loss.present).nanmean(),
        "regularisation": angular_regularisation(*loss.parameters(), loss.present).detach(),
    }
    torch.testing.assert_close(loss.parts, want)
    assert not any(part.requires_grad for part in loss.parts.values())
    total_wanted = want["identity"] + want["viewpoint"] + 0.3 * want["regularisation"]
    torch.testing.assert_close(total.detach(), total_wanted)


def test_viewpoint_aware_loss_starts_at_log_of_class_counts(device):
    loss = losses.ViewpointAwareLoss(751, 64, beta=0.0).to(device)
    labels = torch.arange(16, device=device)
    got = loss(torch.randn(16, 64, device=device), labels, labels % 3)
    want = torch.tensor([751.0, 3 * 751.0]).log().sum().to(device)
    torch.testing.assert_close(got, want, rtol=1e-3, atol=0)  # the weights are small, not 0


def test_missing_views_have_zero_gradient(device):
    loss, given = whole(device)
    loss(*given).backward()
    absent = ~loss.present
    assert not loss.view_weight.grad[absent].any()
    assert loss.view_weight.grad[~absent].any(-1).all()


def test_gradient_descent_increases_the_cosines(device):
    loss, (x, y, v) = whole(device, beta=5.0)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.5)
    seen = []
    for _ in range(60):
        optimizer.zero_grad()
        loss(x, y, v).backward()
        optimizer.step()
        seen.append(loss.parts["regularisation"].item())
    assert seen[-1] < 0.2 * seen[0]


def test_angular_regularisation_is_the_mean_of_1_minus_cosine(device):
    w = torch.tensor([[3.0, 0.0], [0.0, 0.0]], device=device)
    u = torch.tensor([[[1.0, 0], [0, 2], [-1, 0]], [[1, 0], [0, 1], [1, 1]]], device=device)
    assert angular_regularisation(w, u).item() == pytest.approx((0 + 1 + 2 + 1 + 1 + 1) / 6)
    present = torch.tensor([[True, True, False], [True, False, False]], device=device)
    assert angular_regularisation(w, u, present).item() == pytest.approx((0 + 1 + 1) / 3)
    assert angular_regularisation(w, u, present & False).item() == 0


def test_euclidean_regularisation_averages_pairs_and_identities(device):
    u = torch.tensor([[[0.0, 0], [3, 4], [0, 4]], [[1, 0], [1, 0], [7, 7]]], device=device)
    present = torch.tensor([[True, True, True], [True, True, False]], device=device)
    assert euclidean_regularisation(u).item() == pytest.approx(
        ((5 + 4 + 3) / 3 + 2 * (36 + 49) ** 0.5 / 3) / 2
    )
    leaf = u.requires_grad_()
    loss = euclidean_regularisation(leaf, present)
    loss.backward()
    assert loss.item() == pytest.approx((5 + 4 + 3) / 3 / 2)
    assert (
        leaf.grad.isfinite().all() and not leaf.grad[1].any()
    )  # equal centres, and missing classes


@pytest.mark.parametrize("regularise", [angular_regularisation, euclidean_regularisation])
def test_regularisation_gradient_matches_finite_differences(regularise, device):
    w, u = (
        torch.randn(shape, device=device, dtype=torch.float64, requires_grad=True)
        for shape in ((4, 5), (4, 3, 5))
    )
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]], device=device).bool()
    weights = (w, u) if regularise is angular_regularisation else (u,)
    assert torch.autograd.gradcheck(lambda *given: regularise(*given, present), weights)


def test_viewpoint_aware_loss_supports_euclidean_regularisation(device):
    loss, given = whole(device, regularisation="euclidean")
    loss(*given)
    want = euclidean_regularisation(loss.view_weight.detach(), loss.present)
    torch.testing.assert_close(loss.parts["regularisation"], want)


def test_present_views_match_the_training_set(device):
    labels, views = torch.tensor([[0, 0, 2, 2, 1], [0, 0, 1, 2, -1]], device=device)
    got = present_views(labels, views, num_identities=3)
    assert got.tolist() == [[True, False, False], [False] * 3, [False, True, True]]
    with pytest.raises(ValueError, match=r"present_views: labels must be in \[0, 2\), got 2"):
        present_views(labels, views, num_identities=2)


@pytest.mark.slow
def test_viewpoint_aware_loss_compiles_to_one_graph(device):
    loss, given = whole(device)
    want = loss(*given)
    parts = loss.parts
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*given), want)
    torch.testing.assert_close(loss.parts, parts)


def test_viewpoint_aware_state_holds_weights_and_present(device):
    loss, _ = whole(device)
    assert set(loss.state_dict()) == {"identity_weight", "view_weight", "present"}


@pytest.mark.parametrize(
    "changed, message",
    [
        (
            {"num_identities": 0},
            "num_identities must be an integer >= 1 and at most 2147483647",
        ),
        ({"num_identities": 2**30}, r"num_views must be an integer >= 1 and at most 1 "),
        ({"alpha": 0.7}, r"alpha must be a finite number >= 0 and <= 0.5, got 0.7"),
        ({"labels": "soft"}, "labels must be one of 'adaptive', 'fixed', 'hard', got 'soft'"),
        (
            {"regularisation": "l2"},
            "regularisation must be one of 'angular', 'euclidean'",
        ),
        (
            {"present": torch.ones(4, 3)},
            r"present must be bool of shape \(4, 3\), .* got torch.fl",
        ),
        (
            {"present": torch.ones(3, 4) > 0},
            r"present must be bool of shape \(4, 3\), .* \(3, 4\)",
        ),
    ],
)
def test_viewpoint_aware_loss_raises_for_invalid_arguments(changed, message):
    with pytest.raises(ValueError, match="ViewpointAwareLoss: " + message):
        losses.ViewpointAwareLoss(**{"num_identities": 4, "feature_dim": 2} | changed)


def test_euclidean_regularisation_is_zero_for_one_view(device):
    u = torch.ones(2, 1, 3, device=device, requires_grad=True)
    loss = euclidean_regularisation(u)
    loss.backward()
    assert loss == 0 and not u.grad.any()
