"""Adapters between the losses and miners of reid_ext and pytorch-metric-learning."""

import subprocess
import sys

import pytest
import torch
from reference.pairwise_losses import triplet_exponents

from reid_ext import ops
from reid_ext.losses import ExpATLoss, FIDILoss, TripletLoss

pytest.importorskip("pytorch_metric_learning", reason="needs pytorch-metric-learning")
from pytorch_metric_learning import distances, losses, miners

from reid_ext.compat import metric_learning


def batch(rows=24, identities=6, dim=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, dim, generator=generator, dtype=torch.float64)
    return x.requires_grad_(), torch.arange(rows) % identities


@pytest.mark.parametrize("loss", [ExpATLoss(), FIDILoss(), TripletLoss()])
def test_wrapped_loss_equals_the_plain_loss(loss):
    x, labels = batch()
    wrapped = metric_learning.Loss(loss)
    torch.testing.assert_close(wrapped(x, labels), loss(x, labels))
    (grad,) = torch.autograd.grad(wrapped(x, labels), x)
    torch.testing.assert_close(grad, *torch.autograd.grad(loss(x, labels), x))


@pytest.mark.parametrize("loss", [ExpATLoss(), FIDILoss(), TripletLoss()])
def test_wrapped_loss_uses_reference_embeddings_as_keys(loss):
    x, labels = batch()
    keys, key_labels = batch(rows=30, seed=1)
    wrapped = metric_learning.Loss(loss)(x, labels, ref_emb=keys, ref_labels=key_labels)
    torch.testing.assert_close(wrapped, loss(x, labels, keys=keys, key_labels=key_labels))


def test_wrapped_loss_adds_the_regularizer():
    from pytorch_metric_learning.regularizers import LpRegularizer

    x, labels = batch()
    plain = metric_learning.Loss(FIDILoss())(x, labels)
    regularized = metric_learning.Loss(
        FIDILoss(), embedding_regularizer=LpRegularizer(), embedding_reg_weight=2.0
    )
    torch.testing.assert_close(regularized(x, labels), plain + 2 * x.norm(dim=1).mean())


def test_wrapped_expat_accepts_triplets_of_a_miner():
    x, labels = batch()
    a, p, n = miners.BatchHardMiner(distance=distances.CosineSimilarity())(x, labels)
    wrapped = metric_learning.Loss(ExpATLoss(margin=0.5))(x, labels, (a, p, n))
    exponent = triplet_exponents(x[a], x[p], x[n], margin=0.5)
    torch.testing.assert_close(wrapped, exponent.exp().mean())


def test_wrapped_loss_raises_for_triplets_when_it_mines_itself():
    x, labels = batch()
    triplets = metric_learning.HardestMiner()(x, labels)
    with pytest.raises(ValueError, match=r"Loss\(FIDILoss\): indices_tuple must be None"):
        metric_learning.Loss(FIDILoss())(x, labels, triplets)
    with pytest.raises(ValueError, match=r"must be triplets .* got 4 tensors"):
        metric_learning.Loss(ExpATLoss())(x, labels, (labels,) * 4)


def test_wrapped_loss_raises_without_labels():
    x, _ = batch()
    with pytest.raises(ValueError, match="labels must be given"):
        metric_learning.Loss(FIDILoss())(x)


@pytest.mark.parametrize(
    "metric, distance",
    [
        ("cosine", distances.CosineSimilarity()),
        ("euclidean", distances.LpDistance(normalize_embeddings=False)),
        ("squared_euclidean", distances.LpDistance(normalize_embeddings=False, power=2)),
    ],
)
@pytest.mark.parametrize("with_keys", [False, True])
def test_miner_finds_the_triplets_of_pytorch_metric_learning(metric, distance, with_keys):
    x, labels = batch()
    keys = batch(rows=30, seed=1) if with_keys else (None, None)
    ours = metric_learning.HardestMiner(metric)(x, labels, *keys)
    theirs = miners.BatchHardMiner(distance=distance)(x, labels, *keys)
    assert all(torch.equal(o, t) for o, t in zip(ours, theirs, strict=True))


def test_miner_leaves_out_anchors_without_a_pair():
    x, _ = batch(rows=5)
    anchors, positives, negatives = metric_learning.HardestMiner()(x, torch.tensor([0, 0, 1, 2, 3]))
    assert anchors.tolist() == [0, 1] and positives.tolist() == [1, 0] and len(negatives) == 2


def test_miner_raises_for_other_metrics():
    with pytest.raises(ValueError, match=r"metric must be one of 'cosine', .* got 'dot'"):
        metric_learning.HardestMiner("dot")


def test_external_loss_with_our_miner_has_our_interface():
    x, labels = batch()
    theirs = losses.TripletMarginLoss(margin=0.3, distance=distances.CosineSimilarity())
    foreign = metric_learning.Foreign(theirs, metric_learning.HardestMiner("cosine"))
    pairs = ops.mine_hardest(x, labels)
    gap = (pairs.positive_distance - pairs.negative_distance + 0.3).clamp(min=0)
    torch.testing.assert_close(foreign(x, labels), gap[gap > 0].mean())
    keys, key_labels = batch(rows=30, seed=1)
    assert foreign(x, labels, keys=keys, key_labels=key_labels) != foreign(x, labels)


def test_external_loss_works_without_a_miner():
    x, labels = batch()
    theirs = losses.NTXentLoss()
    torch.testing.assert_close(metric_learning.Foreign(theirs)(x, labels), theirs(x, labels))


@pytest.mark.slow
def test_missing_package_is_named(tmp_path):
    code = (
        "import sys; sys.modules['pytorch_metric_learning'] = None\n"
        "from reid_ext.compat import metric_learning"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (
        "ImportError: reid_ext.compat.metric_learning needs pytorch-metric-learning" in run.stderr
    )
