"""Contrastive, circle and multi-similarity losses against their formulas, anchor by anchor."""

import math

import pytest
import torch
from reference.pairwise_losses import circle, contrastive, multi_similarity

from reid_ext.losses import CircleLoss, ContrastiveLoss, MultiSimilarityLoss

CASES = {
    ContrastiveLoss: contrastive,
    CircleLoss: circle,
    MultiSimilarityLoss: multi_similarity,
}
every_loss = pytest.mark.parametrize("kind", CASES)


def batch(device, dtype=torch.float64, rows=9, identities=3):
    x = torch.randn(rows, 6, device=device, dtype=dtype) / math.sqrt(6)
    return x, torch.arange(rows, device=device) % identities


@every_loss
def test_matches_its_formula(kind, device):
    x, y = batch(device)
    torch.testing.assert_close(kind()(x, y), CASES[kind](x, y))


@every_loss
def test_keys_take_the_place_of_the_batch(kind, device):
    (x, y), (keys, key_y) = batch(device), batch(device, rows=7, identities=4)
    want = CASES[kind](x, y, keys, key_y)
    torch.testing.assert_close(kind()(x, y, keys=keys, key_labels=key_y), want)


@every_loss
def test_gradients_are_those_of_the_formula(kind, device):
    (x, y), (keys, key_y) = batch(device), batch(device, rows=7, identities=4)
    leaves = x.requires_grad_(), keys.requires_grad_()
    got = torch.autograd.grad(kind()(x, y, keys=keys, key_labels=key_y), leaves)
    torch.testing.assert_close(got, torch.autograd.grad(CASES[kind](x, y, keys, key_y), leaves))


@every_loss
def test_permuting_the_batch_permutes_the_gradient(kind, device):
    x, y = batch(device)
    order = torch.randperm(len(x)).to(device)
    grads = []
    for rows in (slice(None), order):
        leaf = x[rows].clone().requires_grad_()
        grads.append(torch.autograd.grad(kind()(leaf, y[rows]), leaf)[0])
    torch.testing.assert_close(grads[0][order], grads[1])


@every_loss
@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1, 2]])
def test_gradients_are_finite_whatever_the_identities(kind, labels, device):
    x = torch.randn(len(labels), 4, device=device, requires_grad=True)
    loss = kind()(x, torch.tensor(labels, device=device, dtype=torch.int64))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(x.grad).all()
    if kind is not ContrastiveLoss or len(labels) < 2:
        assert loss.item() == 0 and not x.grad.any()


@every_loss
def test_gradients_are_finite_at_duplicates_and_zero_rows(kind, device):
    x, y = batch(device)
    x[0], x[3], x[4] = 0, x[6], x[1]
    kind()(x.requires_grad_(), y).backward()
    assert torch.isfinite(x.grad).all()


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_inputs_are_computed_in_float32(kind, dtype, device):
    x, y = batch(device, dtype)
    loss = kind()(x, y)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, kind()(x.float(), y))


@pytest.mark.slow
@every_loss
def test_compiles_to_one_graph(kind, device):
    x, y = batch(device)
    compiled = torch.compile(kind(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, y), kind()(x, y))


@every_loss
def test_rejects_labels_that_do_not_fit_by_name(kind, device):
    x, y = batch(device)
    with pytest.raises(ValueError, match=rf"{kind.__name__}: labels must have shape \(9,\)"):
        kind()(x, y[:8])
    with pytest.raises(ValueError, match=r"key_labels must have shape \(9,\), .* got \(8,\)"):
        kind()(x, y, keys=x, key_labels=y[:8])
    with pytest.raises(ValueError, match="keys and key_labels must be given together"):
        kind()(x, y, keys=x)


@every_loss
def test_takes_and_refuses_what_the_other_losses_do(kind, device):
    x, y = batch(device)
    torch.testing.assert_close(kind()(x, y.tolist()), kind()(x, y))
    with pytest.raises(
        ValueError, match=f"{kind.__name__}: features must be a tensor, got ndarray"
    ):
        kind()(x.cpu().numpy(), y)
    with pytest.raises(ValueError, match=f"{kind.__name__}: labels must be integers"):
        kind()(x, y.double())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ContrastiveLoss(0), "ContrastiveLoss: margin must be a finite number > 0, got 0"),
        (lambda: CircleLoss(gamma=-1), "CircleLoss: gamma must be a finite number > 0, got -1"),
        (
            lambda: MultiSimilarityLoss(beta=0),
            "MultiSimilarityLoss: beta must be a finite",
        ),
    ],
)
def test_rejects_settings_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()
