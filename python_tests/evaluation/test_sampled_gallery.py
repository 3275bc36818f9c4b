"""Protocols that draw a gallery in each trial, against a reference that ranks each query."""

import numpy as np
import pytest
import torch
from reference.distances import distances
from reference.ranking import ranked_pairs, same_pairs, scores

from reid_ext.evaluation import evaluate_llcm, evaluate_sampled_gallery


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_llcm_protocol_matches_reference(metric):
    generator = torch.Generator().manual_seed(1)
    ids, cameras = torch.arange(60) % 6, torch.arange(60) % 9 + 1
    q_ids, q_cameras = torch.arange(25) % 7, torch.arange(25) % 9 + 1  # identity 6: no match
    query, gallery = (torch.randn(n, 8, generator=generator).double() for n in (25, 60))
    galleries = [torch.randperm(60, generator=generator)[:20].tolist() for _ in range(3)]
    ranking = evaluate_llcm(
        *(query, gallery),
        query_ids=q_ids, gallery_ids=ids, query_cameras=q_cameras, gallery_cameras=cameras,
        galleries=galleries, metric=metric,
    )  # fmt: skip
    firsts, means = [], []
    for rows in galleries:
        same = same_pairs(q_ids, ids[rows])
        ranked = ranked_pairs("llcm", q_ids, ids[rows], q_cameras, cameras[rows])
        d = distances(query, gallery[rows], metric)
        want = scores(d, same, ranked, distinct_ids=ids[rows])
        firsts.append(want.cmc[1])
        means.append(np.nanmean(want.average_precision))
    assert ranking.rank(2) == pytest.approx(sum(firsts) / 3)
    assert ranking.mAP == pytest.approx(sum(means) / 3)
    assert str(ranking.protocol).startswith("llcm (draw given): junk same")


@pytest.mark.parametrize(
    "kind",
    [
        np.array,
        torch.tensor,
        lambda rows: torch.tensor(rows, dtype=torch.int32),
        lambda rows: [np.array(row, np.uint8) for row in rows],
        lambda rows: [np.array(row[::-1])[::-1] for row in rows],
        iter,
    ],
)
def test_llcm_galleries_may_be_arrays(kind):
    x, ids, cameras = torch.eye(8)[:, :6], [0, 1, 2, 3] * 2, [1] * 4 + [2] * 4
    labels = {"query_ids": ids, "gallery_ids": ids}
    labels |= {"query_cameras": cameras, "gallery_cameras": cameras}
    rows = [[0, 1, 2, 4], [3, 5, 6, 7]]
    want = evaluate_llcm(x, x, **labels, galleries=rows)
    assert evaluate_llcm(x, x, **labels, galleries=kind(rows)).to_dict() == want.to_dict()


@pytest.mark.parametrize("galleries", [None, [[2, 1], [3, 1], [1, 4]]])
def test_llcm_ties_go_to_the_lower_gallery_row(galleries):
    x = torch.ones(5, 2)
    labels = {"query_ids": [5], "gallery_ids": [5, 2, 5, 5, 5]}
    labels |= {"query_cameras": [1], "gallery_cameras": [2] * 5}
    ranking = evaluate_llcm(x[:1], x, **labels, galleries=galleries)
    # Two identities with equal features: the first match decides both metrics.
    assert [t.rank(1) for t in ranking.trials] == [float(t.mAP == 1) for t in ranking.trials]
    if galleries:
        assert [t.rank(1) for t in ranking.trials] == [0, 0, 0]


def test_sampled_gallery_has_one_image_per_identity():
    ids = torch.tensor([4, 4, 4, 7, 7, 9])
    ranking = evaluate_sampled_gallery(torch.eye(10)[ids], ids=ids, trials=4)
    assert ranking.rank(1) == ranking.mAP == 1 and len(ranking.trials) == 4
    assert ranking.num_valid == 4 * 3  # identity 9 has one image, which is in the gallery
    assert "3 queries x 3 gallery images" in str(ranking.protocol)


def test_sampled_gallery_is_the_mean_over_draws():
    ids = torch.tensor([0, 0, 1, 1])
    features = torch.tensor([[0.0], [1.0], [1.1], [5.0]])
    # Queries and gallery of the four draws; the nearer gallery image decides.
    hits = []
    for a in (0, 1):
        for b in (2, 3):
            gallery = {0: features[a], 1: features[b]}
            for query, identity in ((1 - a, 0), (5 - b, 1)):
                nearest = min(gallery, key=lambda i: float((features[query] - gallery[i]).abs()))
                hits.append(nearest == identity)
    ranking = evaluate_sampled_gallery(features, ids=ids, trials=400, metric="euclidean")
    assert ranking.rank(1) == pytest.approx(sum(hits) / len(hits), abs=0.05)
    again = evaluate_sampled_gallery(features, ids=ids, trials=400, metric="euclidean")
    assert again.rank(1) == ranking.rank(1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"ids": [0, 1, 2]},
            "ids must contain an identity with at least two images, got 3",
        ),
        ({"ids": [0, 0]}, r"ids must have shape \(3,\)"),
        ({"ids": [0, 0, 1], "trials": 0}, "trials must be an integer >= 1"),
        ({"ids": [0, 0, 1], "seed": -1}, "seed must be an integer >= 0"),
    ],
)
def test_sampled_gallery_raises_for_invalid_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"evaluate_sampled_gallery: {message}"):
        evaluate_sampled_gallery(torch.eye(3), **arguments)


def test_llcm_protocol_raises_without_trials():
    labels = {f"{side}_{what}": [1] for side in ("query", "gallery") for what in ("ids", "cameras")}
    with pytest.raises(ValueError, match="galleries must contain the gallery rows of at least one"):
        evaluate_llcm(torch.ones(1, 2), torch.ones(1, 2), **labels, galleries=[])
