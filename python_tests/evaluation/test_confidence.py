"""RegDB's protocol, means over trials, bootstrap intervals, and a ranking as JSON."""

import dataclasses
import json

import pytest
import torch

from reid_ext import evaluate, evaluate_regdb
from reid_ext.evaluation import bootstrap, evaluate_distances, mean_of_trials


def features(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 6, generator=generator), torch.arange(n) % 7


def ranked(n=60):
    (query, q_ids), (gallery, g_ids) = features(n), features(40, 1)
    return evaluate(query, gallery, query_ids=q_ids, gallery_ids=g_ids, protocol="generic")


@pytest.mark.parametrize("direction", ["visible_to_thermal", "thermal_to_visible"])
def test_regdb_ranks_every_image(direction):
    (query, q_ids), (gallery, g_ids) = features(21), features(14, 1)
    got = evaluate_regdb(query, gallery, query_ids=q_ids, gallery_ids=g_ids, direction=direction)
    want = evaluate(query, gallery, query_ids=q_ids, gallery_ids=g_ids, protocol="generic")
    assert got.mAP == want.mAP and torch.equal(got.cmc, want.cmc)
    assert str(got.protocol).startswith(f"regdb (direction {direction}): junk none")


def test_regdb_raises_for_a_model_of_another_trial():
    (query, q_ids), (gallery, g_ids) = features(21), features(14, 1)
    labels = {"query_ids": q_ids, "gallery_ids": g_ids}
    fits = evaluate_regdb(query, gallery, **labels, trial=3, model_trial=3)
    assert "trial 3" in str(fits.protocol)
    with pytest.raises(ValueError, match=r"model_trial must equal trial \(2\), got 1"):
        evaluate_regdb(query, gallery, **labels, trial=2, model_trial=1)
    with pytest.raises(ValueError, match="trial must be one of 1, 2"):
        evaluate_regdb(query, gallery, **labels, trial=11)
    with pytest.raises(ValueError, match="direction must be one of 'visible_to_thermal'"):
        evaluate_regdb(query, gallery, **labels, direction="both")


def test_mean_of_trials_with_different_queries():
    one, two = ranked(20), ranked(30)
    mean = mean_of_trials([one, two])
    assert mean.mAP == pytest.approx((one.mAP + two.mAP) / 2)
    torch.testing.assert_close(mean.cmc, (one.cmc + two.cmc) / 2)
    assert len(mean.average_precision) == 50 and mean.num_valid == one.num_valid + two.num_valid
    assert mean.trials == [one, two] and str(mean.protocol).startswith("generic: junk none")
    with pytest.raises(ValueError, match="trials must be a non-empty list of Ranking objects, got"):
        mean_of_trials([])
    with pytest.raises(ValueError, match=r"trials must all have the same max_rank, got \[5, 50\]"):
        mean_of_trials([one, dataclasses.replace(two, cmc=two.cmc[:5])])


def test_bootstrap_interval_is_a_point_for_equal_queries():
    ranking = evaluate_distances(
        torch.tensor([[0.1, 0.2, 0.3]] * 8),
        query_ids=[1] * 8,
        gallery_ids=[2, 1, 1],
        protocol="generic",
    )
    confidence = bootstrap(ranking, resamples=50)
    ap = (1 / 2 + 2 / 3) / 2
    assert confidence.mAP.low == pytest.approx(ap) and confidence.mAP.high == pytest.approx(ap)
    assert confidence.cmc.low[:2].tolist() == confidence.cmc.high[:2].tolist() == [0, 1]


def test_bootstrap_interval_has_normal_width():
    ranking = ranked(600)
    confidence = bootstrap(ranking, resamples=2000)
    deviation = float(ranking.average_precision.std() / 600**0.5)
    half = float(confidence.mAP.high - confidence.mAP.low) / 2
    assert confidence.mAP.low < ranking.mAP < confidence.mAP.high
    assert half == pytest.approx(1.96 * deviation, rel=0.1)
    assert (confidence.cmc.low <= ranking.cmc + 1e-12).all()
    assert (ranking.cmc <= confidence.cmc.high + 1e-12).all()
    narrow = bootstrap(ranking, level=0.5, resamples=2000)
    assert narrow.mAP.high - narrow.mAP.low < confidence.mAP.high - confidence.mAP.low
    again = bootstrap(ranking, resamples=2000)
    assert all(torch.equal(a, b) for a, b in zip(again.mAP, confidence.mAP, strict=True))


def test_bootstrap_uses_only_queries_with_a_match():
    distances = torch.tensor([[0.1, 0.2], [0.1, 0.2]])
    labels = {"gallery_ids": [1, 2], "protocol": "generic"}
    alone = evaluate_distances(distances[:1], query_ids=[1], **labels)
    beside = evaluate_distances(distances, query_ids=[1, 9], **labels)
    assert bootstrap(alone, resamples=9).mAP == bootstrap(beside, resamples=9).mAP


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"level": 1.0}, "level must be a finite number > 0 and < 1, got 1.0"),
        ({"resamples": 0}, "resamples must be an integer >= 1, got 0"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
    ],
)
def test_bootstrap_raises_for_invalid_arguments(keywords, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(ranked(), **keywords)


def test_bootstrap_raises_for_a_mean_over_trials():
    with pytest.raises(ValueError, match="ranking must be the result of a single"):
        bootstrap(mean_of_trials([ranked(), ranked()]))


def test_ranking_to_dict_is_valid_json():
    ranking = evaluate_distances(
        torch.tensor([[0.1, 0.2], [0.1, 0.2]]),
        query_ids=[1, 9],
        gallery_ids=[2, 1],
        protocol="generic",
        max_rank=2,
    )
    content = json.loads(json.dumps(ranking.to_dict()))
    assert content["cmc"] == [0, 1] and content["mAP"] == 0.5 and content["num_valid"] == 1
    assert content["average_precision"] == [0.5, None] and content["trials"] == []
    assert content["protocol"] == ranking.protocol.to_dict()
