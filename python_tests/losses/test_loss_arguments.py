"""Valid and invalid features, labels, numbers and choices of every loss."""

import numpy as np
import pytest
import torch

from reid_ext import ArgumentError, losses
from reid_ext.losses.viewpoint import present_views

Y = [0, 0, 1, 1, 2, 2]
VIEWS = [0, 1, 2, 0, -1, 1]


class OfViews(losses.ViewpointAwareLoss):
    """The loss with fixed views, so that it has the call signature of the other losses."""

    def __init__(self):
        super().__init__(3, 4)

    def forward(self, features, labels):
        return super().forward(features, labels, VIEWS)


class Random(losses.ExpATLoss):
    def __init__(self):
        super().__init__(mining="random", generator=torch.Generator().manual_seed(0))


PAIRWISE = [losses.CircleLoss, losses.ContrastiveLoss, losses.MultiSimilarityLoss, Random]
EVERY = [*PAIRWISE, losses.ExpATLoss, losses.FIDILoss, losses.TripletLoss]
EVERY += [lambda: losses.CenterLoss(3, 4), losses.AdaptiveLabelSmoothingLoss, OfViews]


def name_of(make):
    """Return the name of the public loss class that ``make`` creates or extends."""
    kind = type(make())
    return kind.__name__ if kind.__module__.startswith("reid_ext") else kind.__base__.__name__


def features(rows=6, seed=0):
    return torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize(
    "kind",
    [
        list,
        tuple,
        np.array,
        lambda y: np.array(y, ">i2"),
        lambda y: np.array(y[::-1])[::-1],
        lambda y: torch.tensor(y, dtype=torch.uint16),
        lambda y: torch.tensor([y, y]).T[:, 0],
    ],
)
def test_losses_accept_labels_of_every_type(make, kind):
    torch.manual_seed(1)
    want = make()(features(), torch.tensor(Y))
    torch.manual_seed(1)
    torch.testing.assert_close(make()(features(), kind(Y)), want)


@pytest.mark.parametrize("make", PAIRWISE)
def test_losses_accept_lists_as_key_labels(make):
    keys = features(8, seed=1)
    want = make()(features(), torch.tensor(Y), keys=keys, key_labels=torch.tensor([*Y, 0, 1]))
    got = make()(features(), Y, keys=keys, key_labels=[*Y, 0, 1])
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize(
    "labels",
    [
        [0.5, 1, 1, 2, 2, 0],
        torch.ones(6).bool(),
        torch.ones(6).long().to_sparse(),
        torch.ones(6, device="meta").long(),
        np.ma.masked_array(Y, [True] + [False] * 5),
        ["a"] * 6,
        None,
        3,
        Y[:5],
    ],
)
def test_losses_raise_for_labels_of_other_types(make, labels):
    with pytest.raises(ArgumentError, match=rf"^{name_of(make)}: labels must "):
        make()(features(), labels)


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize(
    "x", [None, features().tolist(), features()[0], features().int(), features().to_sparse()]
)
def test_losses_raise_for_features_of_other_types(make, x):
    name = name_of(make)
    argument = "logits" if name == "AdaptiveLabelSmoothingLoss" else "features"
    with pytest.raises(ArgumentError, match=f"^{name}: {argument} must "):
        make()(x, Y)


@pytest.mark.parametrize("make", PAIRWISE)
@pytest.mark.parametrize("keys", [features().double(), features()[:, :3], features().int(), None])
def test_losses_raise_for_keys_that_do_not_match_features(make, keys):
    with pytest.raises(ArgumentError, match=rf"^{name_of(make)}: keys (and key_labels )?must"):
        make()(features(), Y, keys=keys, key_labels=Y)


def test_random_triplets_validate_modalities():
    x, keys, kinds = features(), features(6, seed=1), [0, 1] * 3
    torch.testing.assert_close(Random()(x, Y, kinds), Random()(x, Y, torch.tensor(kinds)))
    with pytest.raises(ValueError, match=r"ExpATLoss: modalities must have shape \(6,\)"):
        Random()(x, Y, kinds[:5])
    with pytest.raises(ValueError, match="key_modalities must be given when keys and"):
        Random()(x, Y, kinds, keys=keys, key_labels=Y)
    with pytest.raises(ValueError, match="key_modalities must be None unless keys and"):
        Random()(x, Y, keys=keys, key_labels=Y, key_modalities=kinds)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_viewpoint_loss_accepts_features_of_every_dtype(dtype):
    x, loss = features().to(dtype).requires_grad_(), OfViews()
    value = loss(x, Y)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert value.dtype == wide and value.backward() is None and x.grad.dtype == dtype
    torch.testing.assert_close(value.float(), loss(x.detach().float(), Y))


def test_present_views_accepts_lists():
    want = present_views(torch.tensor(Y), torch.tensor(VIEWS), num_identities=3)
    assert torch.equal(present_views(Y, VIEWS, num_identities=3), want)
    with pytest.raises(ValueError, match=r"present_views: views must have shape \(M,\)"):
        present_views(Y, VIEWS[:5], num_identities=3)


@pytest.mark.parametrize(
    "make, name",
    [
        (losses.ExpATLoss, "margin"),
        (losses.ExpATLoss, "alpha"),
        (losses.FIDILoss, "alpha"),
        (losses.FIDILoss, "beta"),
        (losses.CircleLoss, "margin"),
        (losses.MultiSimilarityLoss, "base"),
        (losses.MultiSimilarityLoss, "epsilon"),
        (losses.AdaptiveLabelSmoothingLoss, "alpha"),
        (lambda **of: losses.ViewpointAwareLoss(3, 4, **of), "beta"),
        (lambda **of: losses.ViewpointAwareLoss(3, 4, **of), "gamma"),
    ],
)
@pytest.mark.parametrize(
    "value", ["1", [1.0], float("nan"), torch.ones((), requires_grad=True), 1j, None]
)
def test_losses_raise_for_settings_of_other_types(make, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a finite number.*, got "):
        make(**{name: value})


@pytest.mark.parametrize("value", [np.array(["adaptive"]), np.array(["random", "hard"]), ["sum"]])
def test_losses_raise_for_choices_that_are_not_strings(value):
    for name in ("mining", "aggregation"):
        with pytest.raises(ValueError, match=f"ExpATLoss: {name} must be one of "):
            losses.ExpATLoss(**{name: value})
    for name in ("labels", "regularisation"):
        with pytest.raises(ValueError, match=f"ViewpointAwareLoss: {name} must be one of "):
            losses.ViewpointAwareLoss(3, 4, **{name: value})


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: losses.FIDILoss(alpha=1), "FIDILoss: alpha must be a finite number > 1, got 1"),
        (lambda: losses.FIDILoss(beta=0), "FIDILoss: beta must be a finite number > 0, got 0"),
        (lambda: losses.FIDILoss(normalize=1), "FIDILoss: normalize must be True or False, got 1"),
        (lambda: losses.FIDILoss(aggregation="max"), "FIDILoss: aggregation must be one of 'mean'"),
        (lambda: losses.TripletLoss(metric="dot"), "TripletLoss: metric must be one of 'cosine'"),
        (lambda: losses.ExpATLoss(generator=3), "ExpATLoss: generator must be a Generator, got 3"),
        (lambda: losses.AdaptiveLabelSmoothingLoss(variant="x"), "variant must be one of 'paper'"),
        (lambda: losses.CenterLoss(3, 4).rescale_gradient(0), "weight must be a finite number > 0"),
    ],
)
def test_losses_validate_settings_in_the_constructor(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    "make, shown",
    [
        (
            losses.ExpATLoss,
            "margin=1.0, alpha=1.0, beta=1.0, aggregation='mean_of_exp', ",
        ),
        (losses.FIDILoss, "alpha=1.05, beta=0.5, normalize=False, aggregation='mean'"),
        (losses.TripletLoss, "margin=0.3, metric='euclidean'"),
        (lambda: losses.TripletLoss(None), "margin=None, metric='euclidean'"),
        (losses.CircleLoss, "margin=0.25, gamma=128.0"),
        (losses.ContrastiveLoss, "margin=1.0"),
        (losses.MultiSimilarityLoss, "alpha=2.0, beta=50.0, base=0.5, epsilon=0.1"),
        (lambda: losses.CenterLoss(3, 4), "num_identities=3, feature_dim=4"),
        (losses.AdaptiveLabelSmoothingLoss, "alpha=0.25, variant='paper'"),
        (
            lambda: losses.ViewpointAwareLoss(3, 4),
            "num_identities=3, feature_dim=4, num_views=3",
        ),
    ],
)
def test_loss_repr_shows_the_settings(make, shown):
    assert shown in repr(make())


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda f: f(features(3), torch.ones(3, 2, 5)), "view_weight must have shape"),
        (lambda f: f(features(3), torch.ones(2, 2, 4)), "view_weight must have shape"),
        (lambda f: f(features(3), torch.ones(3, 4)), "view_weight must have shape"),
        (lambda f: f(None, torch.ones(3, 2, 4)), "identity_weight must be a tensor"),
        (lambda f: f(features(3), torch.ones(3, 2, 4), torch.ones(3, 2)), "present must be bool"),
    ],
)
def test_regularisation_errors_name_its_arguments(call, message):
    with pytest.raises(ArgumentError, match=f"^angular_regularisation: {message}"):
        call(losses.angular_regularisation)


@pytest.mark.slow
def test_random_triplets_compile_for_any_batch_size():
    compiled = torch.compile(losses.ExpATLoss(mining="random"), backend="aot_eager", dynamic=True)
    for rows in (6, 4):
        labels = torch.tensor(Y[:rows])
        torch.manual_seed(2)
        got = compiled(features(rows), labels)
        torch.manual_seed(2)
        torch.testing.assert_close(got, losses.ExpATLoss(mining="random")(features(rows), labels))


@pytest.mark.parametrize("mining", ["batch_hard", "random"])
@pytest.mark.parametrize("modalities", [[1, 2] * 3, [-1, 0] * 3, [0, 1, 0, 1, 0, 255]])
def test_expat_loss_raises_for_unknown_modalities(mining, modalities):
    loss = losses.ExpATLoss(mining=mining)
    value = next(m for m in modalities if m not in (0, 1))
    message = rf"ExpATLoss: modalities must be 0 \(visible\) or 1 \(infrared\), got {value} in row"
    with pytest.raises(ArgumentError, match=message):
        loss(features(), Y, modalities)
    keys = {"keys": features(seed=1), "key_labels": Y, "key_modalities": modalities}
    with pytest.raises(ArgumentError, match="ExpATLoss: key_modalities must be 0"):
        loss(features(), Y, [0, 1] * 3, **keys)


@pytest.mark.parametrize("make", [*PAIRWISE, losses.ExpATLoss, losses.FIDILoss, losses.TripletLoss])
def test_losses_warn_once_for_a_batch_without_a_pair(make, recwarn):
    loss, x = make(), features()
    assert loss(x, Y) != 0 and not recwarn
    alone = x[:1], [7]
    with pytest.warns(UserWarning, match="the batch has no .*, so the loss and its gradient are 0"):
        assert loss(*alone) == 0
    assert loss(*alone) == 0 and not recwarn


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_losses_are_not_finite_for_a_row_that_is_not(make, bad):
    x = features()
    x[3] = bad
    assert not make()(x, [0, 0, 0, 1, 1, 1]).isfinite()


@pytest.mark.parametrize("make", PAIRWISE)
def test_losses_show_nan_in_a_row_without_a_positive(make):
    x, keys = features(), features(seed=1)
    x[3] = torch.nan
    labels = [0, 0, 0, 9, 1, 1]
    assert make()(x, labels, keys=keys, key_labels=[0, 0, 0, 1, 1, 1]).isnan()


def test_euclidean_regularisation_shows_nan():
    weight = torch.randn(3, 2, 4)
    weight[1, 0] = torch.nan
    assert losses.euclidean_regularisation(weight).isnan()
