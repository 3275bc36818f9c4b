"""The evaluate_rank replacements and single-gallery-shot, against hand counts and enumeration."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from reference.ranking import ranked_pairs, same_pairs, single_shot_cmc

import reid_ext
from reid_ext.compat import fastreid, torchreid
from reid_ext.evaluation import evaluate_distances, evaluate_single_shot

# Two queries, nearest first: query 0 (identity 1, camera 0) ranks junk, other, match, other, match;
# query 1 (identity 9) has no match.
DISTANCES = np.array([[0.1, 0.2, 0.3, 0.4, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5]], np.float32)
LABELS = (np.array([1, 9]), np.array([1, 2, 1, 3, 1]), np.array([0, 0]), np.array([0, 1, 1, 1, 2]))


def test_evaluate_rank_matches_hand_computed_values():
    cmc, mean_ap = torchreid.evaluate_rank(DISTANCES, *LABELS)
    assert cmc.dtype == np.float32 and cmc.tolist() == [0, 1, 1, 1, 1]
    assert mean_ap == pytest.approx((1 / 2 + 2 / 4) / 2)
    same, ap, inp = fastreid.evaluate_rank(DISTANCES, *LABELS)
    assert np.array_equal(cmc, same)
    assert ap == pytest.approx([(1 / 2 + 2 / 4) / 2]) and inp == pytest.approx([2 / 4])


def test_cmc_length_is_max_rank_or_gallery_size():
    assert len(torchreid.evaluate_rank(DISTANCES, *LABELS, max_rank=2)[0]) == 2
    assert len(fastreid.evaluate_rank(DISTANCES, *LABELS)[0]) == 5


def random_problem(seed):
    rng = np.random.default_rng(seed)
    q, g = 5, 9
    distances = rng.integers(0, 6, (q, g)) / 8  # with ties
    labels = rng.integers(0, 3, q), rng.integers(0, 4, g), rng.integers(0, 2, q)
    return distances, (*labels, rng.integers(0, 2, g))


@pytest.mark.parametrize("seed", range(25))
def test_expected_single_shot_cmc_equals_enumeration(seed):
    distances, labels = random_problem(seed)
    ranked = ranked_pairs("cuhk03-classic", *labels)
    want = single_shot_cmc(distances, same_pairs(*labels[:2]), ranked, labels[1], 6)
    cmc, mean_ap = torchreid.evaluate_rank(distances, *labels, max_rank=6, use_metric_cuhk03=True)
    np.testing.assert_allclose(cmc, want, atol=1e-6)
    assert mean_ap == torchreid.evaluate_rank(distances, *labels)[1]


def keywords(labels):
    names = ("query_ids", "gallery_ids", "query_cameras", "gallery_cameras")
    return dict(zip(names, labels, strict=True))


def test_single_shot_draws_approach_the_expectation():
    distances, labels = random_problem(3)
    exact = evaluate_single_shot(distances, **keywords(labels), max_rank=6)
    drawn = evaluate_single_shot(distances, **keywords(labels), max_rank=6, draws=4000)
    torch.testing.assert_close(drawn.cmc, exact.cmc, rtol=0, atol=0.02)
    assert str(drawn.protocol).startswith("cuhk03-classic (draws 4000, seed 0)")
    again = evaluate_single_shot(distances, **keywords(labels), max_rank=6, draws=4000)
    assert torch.equal(drawn.cmc, again.cmc)


def test_single_shot_average_precision_uses_whole_gallery():
    distances, labels = random_problem(5)
    single = evaluate_single_shot(distances, **keywords(labels))
    whole = evaluate_distances(distances, **keywords(labels), protocol="cuhk03-np")
    assert (single.mAP, single.mINP, single.num_valid) == (whole.mAP, whole.mINP, whole.num_valid)


@pytest.mark.parametrize("module", [torchreid, fastreid])
def test_evaluate_rank_errors_name_its_own_arguments(module):
    where = f"compat.{module.__name__.split('.')[-1]}.evaluate_rank"
    with pytest.raises(ValueError, match=rf"{where}: q_pids must have shape \(2,\)"):
        module.evaluate_rank(DISTANCES, LABELS[0][:1], *LABELS[1:])
    with pytest.raises(ValueError, match=rf"{where}: g_camids must be integers"):
        module.evaluate_rank(DISTANCES, *LABELS[:3], LABELS[3] / 2)
    with pytest.raises(ValueError, match=rf"{where}: distmat must have shape .* got shape \(5,\)"):
        module.evaluate_rank(DISTANCES[0], *LABELS)
    with pytest.raises(ValueError, match=rf"{where}: g_pids must share an identity with q_pids"):
        module.evaluate_rank(DISTANCES, LABELS[0] + 50, *LABELS[1:])


def test_single_shot_raises_for_zero_draws():
    with pytest.raises(ValueError, match="draws must be an integer >= 1, got 0"):
        evaluate_single_shot(DISTANCES, **keywords(LABELS), draws=0)


def test_compat_modules_are_available_after_import(tmp_path):
    pytest.importorskip("pytorch_metric_learning")
    pytest.importorskip("torchmetrics")
    names = "fastreid.evaluate_rank", "torchreid.evaluate_rank", "re_ranking"
    names += "metric_learning.Loss", "torchmetrics.ReIDRetrieval"
    used = "; ".join(f"reid_ext.compat.{name}" for name in names)
    command = [sys.executable, "-c", f"import reid_ext; {used}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="has no attribute 'fastreind'"):
        reid_ext.compat.fastreind  # noqa: B018
