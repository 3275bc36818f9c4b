"""Properties of every pairwise loss for random batches, and comparison with the formulas.

The batches from hypothesis are small, with zero, equal and opposite rows and single identities.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import pairwise_losses as formulas

from reid_ext.losses import (
    CircleLoss,
    ContrastiveLoss,
    ExpATLoss,
    FIDILoss,
    MultiSimilarityLoss,
    TripletLoss,
)

LOSSES = {
    "expat": ExpATLoss(),
    "expat_of_mean": ExpATLoss(aggregation="exp_of_mean"),
    "triplet": TripletLoss(margin=0.3),
    "soft_triplet": TripletLoss(margin=None),
    "cosine_triplet": TripletLoss(margin=0.3, metric="cosine"),
    "fidi": FIDILoss(),
    "unit_fidi": FIDILoss(normalize=True),
    "contrastive": ContrastiveLoss(),
    "circle": CircleLoss(),
    "multi_similarity": MultiSimilarityLoss(),
}
OF_ANGLES = ("expat", "expat_of_mean", "cosine_triplet", "unit_fidi", "circle", "multi_similarity")

every_loss = pytest.mark.parametrize("name", LOSSES)
examples = settings(max_examples=40, deadline=None, derandomize=True, database=None)


@st.composite
def batches(draw, least=0, special=True):
    """Return features (N, D) in float64 and labels (N,)."""
    n, d = draw(st.integers(least, 24)), draw(st.integers(1, 9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    identities = draw(st.sampled_from([1, 2, 3, max(n, 1)]))
    labels = torch.randint(identities, (n,), generator=generator)
    if identities == n:
        labels = torch.arange(n)
    kinds = ["plain", "zero", "equal", "opposite", "short"] if special and n > 1 else ["plain"]
    for row in range(1, n):
        kind = draw(st.sampled_from(kinds))
        if kind == "zero":
            x[row] = 0
        elif kind == "equal":
            x[row] = x[row - 1]
        elif kind == "opposite":
            x[row] = -x[row - 1]
        elif kind == "short":
            x[row] *= 1e-6
    return x, labels


def value_and_gradient(loss, x, *rest, **keywords):
    leaf = x.clone().requires_grad_()
    value = loss(leaf, *rest, **keywords)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


@every_loss
@examples
@given(batches())
def test_loss_and_gradient_are_finite(name, batch):
    value, gradient = value_and_gradient(LOSSES[name], *batch)
    assert value.isfinite() and gradient.isfinite().all()


@every_loss
@examples
@given(batches(special=False), st.randoms(use_true_random=False))
def test_gradient_is_permuted_with_the_batch(name, batch, random):
    x, labels = batch
    order = list(range(len(x)))
    random.shuffle(order)
    value, gradient = value_and_gradient(LOSSES[name], x, labels)
    permuted = value_and_gradient(LOSSES[name], x[order], labels[order])
    torch.testing.assert_close(permuted, (value, gradient[order]))


@pytest.mark.parametrize("name", OF_ANGLES)
@examples
@given(batches(least=2, special=False), st.floats(0.01, 100), st.integers(0, 23))
def test_angular_losses_ignore_row_norms(name, batch, factor, row):
    x, labels = batch
    row %= len(x)
    scaled = x.clone()
    scaled[row] *= factor
    value, gradient = value_and_gradient(LOSSES[name], x, labels)
    other, of_scaled = value_and_gradient(LOSSES[name], scaled, labels)
    torch.testing.assert_close(other, value)
    torch.testing.assert_close(of_scaled[row] * factor, gradient[row], rtol=1e-6, atol=1e-8)


@every_loss
@examples
@given(batches(special=False))
def test_loss_in_float32_is_close_to_float64(name, batch):
    x, labels = batch
    x = x.float().double()  # values that float32 represents exactly
    value, _ = value_and_gradient(LOSSES[name], x, labels)
    narrow, _ = value_and_gradient(LOSSES[name], x.float(), labels)
    torch.testing.assert_close(narrow.double(), value, rtol=1e-4, atol=1e-5)


@every_loss
@examples
@given(batches(special=False))
def test_losses_compute_half_features_in_float32(name, batch):
    x, labels = batch[0].bfloat16(), batch[1]
    value = LOSSES[name](x, labels)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, LOSSES[name](x.float(), labels))


@every_loss
@examples
@given(batches(special=False), batches(least=1, special=False))
def test_losses_compare_anchors_with_keys(name, batch, bank):
    (x, labels), (keys, key_labels) = batch, bank
    if x.shape[1] != keys.shape[1]:
        keys = keys[:, :1].expand(-1, x.shape[1]).contiguous()
    loss = LOSSES[name]
    leaves = x.clone().requires_grad_(), keys.clone().requires_grad_()
    value = loss(leaves[0], labels, keys=leaves[1], key_labels=key_labels)
    gradients = torch.autograd.grad(value, leaves)
    assert value.isfinite() and all(g.isfinite().all() for g in gradients)
    doubled = loss(x, labels, keys=keys.repeat(2, 1), key_labels=key_labels.repeat(2))
    if "triplet" in name or "expat" in name or "fidi" in name:  # duplicate keys do not change these
        torch.testing.assert_close(doubled, value.detach())


@examples
@given(batches())
def test_expat_matches_equation_10_over_the_hardest_pairs(batch):
    torch.testing.assert_close(ExpATLoss()(*batch), formulas.expat(*batch))


@examples
@given(batches())
def test_triplet_is_the_mean_hinge_over_the_hardest_pairs(batch):
    torch.testing.assert_close(TripletLoss(margin=0.3)(*batch), formulas.triplet(*batch))


@examples
@given(batches(least=2), st.floats(1.01, 3), st.floats(0.1, 2))
def test_fidi_is_the_mean_of_the_two_divergences(batch, alpha, beta):
    expected = formulas.fidi(*batch, alpha=alpha, beta=beta)
    torch.testing.assert_close(FIDILoss(alpha, beta)(*batch), expected, rtol=1e-6, atol=1e-9)
