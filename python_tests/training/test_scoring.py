"""The rankings and figures of a job: re-ranking, evaluation by viewpoint, angles."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from reid_ext import FeatureSet, data, evaluation
from reid_ext._runtime.arguments import ArgumentError
from reid_ext.training import EMBEDDED_VISIBLE, RunOptions, results, scoring
from reid_ext.training.job import Job


def job_of(dataset, out, **options):
    options = RunOptions(dataset="market1501", out=out, **options)
    batches = data.IdentityBatches([*dataset.query, *dataset.gallery], 2, 2, seed=0)
    return Job(options, out, dataset, EMBEDDED_VISIBLE, batches, out)


@pytest.fixture
def dataset(tmp_path):
    def samples(camera, number):
        paths = [tmp_path / f"{camera}_{n}.png" for n in range(number)]
        for path in paths:
            cv2.imwrite(str(path), np.full((32, 16, 3), 99, np.uint8))
        return [
            data.Sample(path=path, identity=n % 5, camera=camera) for n, path in enumerate(paths)
        ]

    return data.Dataset("market1501", [], samples(1, 10), samples(2, 30))


@pytest.fixture
def features():
    torch.manual_seed(0)
    centres = torch.randn(5, 8)
    return [centres[torch.arange(n) % 5] + 1.5 * torch.randn(n, 8) for n in (10, 30)]


def sets(dataset, features):
    """The features of queries and gallery with the labels of their samples."""
    sides = zip(features, (dataset.query, dataset.gallery), strict=True)
    return [FeatureSet(x, **data.columns(samples)) for x, samples in sides]


def test_rerank_evaluates_and_draws_both_orders(dataset, features, tmp_path):
    job = job_of(dataset, tmp_path, rerank=True)
    both = sets(dataset, features)
    rankings = scoring.rank(job, *both)
    assert list(rankings) == ["market1501", "market1501, re-ranked"]
    want = evaluation.evaluate(
        *features,
        query_ids=[s.identity for s in dataset.query],
        gallery_ids=[s.identity for s in dataset.gallery],
        query_cameras=[1] * 10,
        gallery_cameras=[2] * 30,
        rerank=True,
    )
    plain, reranked = rankings.values()
    assert reranked.mAP == want.mAP != plain.mAP
    scoring.draw(job, rankings, *both)
    lists = [cv2.imread(str(tmp_path / f"ranked_list{n}.png")) for n in ("", "_reranked")]
    assert lists[0].shape == lists[1].shape and (lists[0] != lists[1]).any()


@pytest.mark.parametrize("metric", ["cosine", "squared_euclidean"])
def test_draw_shows_the_order_that_was_scored(metric, dataset, features, tmp_path, monkeypatch):
    job = job_of(dataset, tmp_path, rerank=True)
    job = replace(job, recipe=replace(job.recipe, metric=metric))
    both = sets(dataset, features)
    rankings = scoring.rank(job, *both)
    drawn = []
    monkeypatch.setattr(scoring, "draw_ranked_lists", lambda lists, *_: drawn.append(lists))
    scoring.draw(job, rankings, *both)
    assert len(drawn) == len(rankings) == 2
    for lists, ranking in zip(drawn, rankings.values(), strict=True):
        offsets, ranks = ranking.match_ranks
        for row, query in enumerate(lists.query.tolist()):
            want = [r for r in ranks[offsets[query] : offsets[query + 1]].tolist() if r <= 10]
            assert (lists.matches[row].nonzero()[:, 0] + 1).tolist() == want


def test_by_viewpoint_needs_view_labels(dataset, features, tmp_path):
    job = job_of(dataset, tmp_path, by_viewpoint=True)
    message = "by_viewpoint must be used with test images that have view labels, got no labels"
    with pytest.raises(ArgumentError, match=message):
        scoring.rank(job, *sets(dataset, features))
    samples = dataset.query + dataset.gallery
    labels = {s.path.name: n % 3 for n, s in enumerate(samples)}
    dataset = data.with_views(dataset, labels).dataset
    job = job_of(dataset, tmp_path, by_viewpoint=True)
    rankings = scoring.rank(job, *sets(dataset, features))
    kinds = [f"{kind}-viewpoint, {v}" for kind in ("single", "cross") for v in scoring.VIEWS]
    assert list(rankings) == ["market1501", *kinds]
    want = evaluation.evaluate_viewpoint(
        torch.cat(features),
        ids=[s.identity for s in samples],
        cameras=[s.camera for s in samples],
        views=[n % 3 for n in range(len(samples))],
        view=1,
        kind="cross",
    )
    assert rankings[kinds[4]].mAP == want.mAP


def test_angles_exclude_pairs_of_an_image_with_itself(tmp_path):
    pytest.importorskip("matplotlib")
    samples = [data.Sample(path=tmp_path / "none.png", identity=n // 2, camera=0) for n in range(4)]
    x = torch.eye(2).repeat_interleave(2, 0) + torch.tensor([[0.0, 1], [0, 0], [1, 0], [0, 0]])
    results.draw_angles(FeatureSet(x, **data.columns(samples)), None, tmp_path, "angles")
    medians = json.loads((tmp_path / "angles.json").read_text())["median degrees"]
    assert medians == {"positive": pytest.approx(45), "negative": pytest.approx(45)}
    assert (tmp_path / "angles.png").exists()
