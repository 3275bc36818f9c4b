"""Evaluation by viewpoint against a plain ranking of each query, and its errors."""

import numpy as np
import pytest
import torch
from reference.distances import distances
from reference.ranking import ranked_pairs, same_pairs, scores

from reid_ext.evaluation import evaluate_viewpoint

IDS = torch.arange(48) % 6
CAMERAS = torch.arange(48) // 6 % 4
VIEWS = torch.arange(48) // 24 - (torch.arange(48) % 11 == 0).long()  # -1, 0 and 1
FEATURES = torch.randn(48, 8, generator=torch.Generator().manual_seed(0))
LABELS = {"ids": IDS, "cameras": CAMERAS, "views": VIEWS}


def plain_mean_ap(queries, gallery):
    """Mean AP without images of the query's identity and camera."""
    ids = IDS[queries], IDS[gallery]
    ranked = ranked_pairs("market1501", *ids, CAMERAS[queries], CAMERAS[gallery])
    d = distances(FEATURES[queries].double(), FEATURES[gallery].double(), "cosine")
    return np.nanmean(scores(d, same_pairs(*ids), ranked).average_precision)


@pytest.mark.parametrize("view", [-1, 0, 1])
def test_cross_viewpoint_searches_all_other_views(view):
    ranking = evaluate_viewpoint(FEATURES, **LABELS, view=view, kind="cross")
    inside, outside = torch.where(view == VIEWS)[0], torch.where(view != VIEWS)[0]
    expected = plain_mean_ap(inside.tolist(), outside.tolist())
    assert ranking.mAP == pytest.approx(expected, abs=1e-6)
    assert str(ranking.protocol).startswith(f"market1501 (viewpoints cross, view {view}): junk")


def test_single_viewpoint_has_one_query_per_identity():
    ranking = evaluate_viewpoint(FEATURES, **LABELS, view=0, splits=4, seed=1)
    assert len(ranking.trials) == 4
    rows = set(torch.where(VIEWS == 0)[0].tolist())
    for trial in ranking.trials:
        assert len(trial.average_precision) == len(set(IDS[list(rows)].tolist()))
    assert len({round(t.mAP, 9) for t in ranking.trials}) > 1
    again = evaluate_viewpoint(FEATURES, **LABELS, view=0, splits=4, seed=1)
    assert again.mAP == ranking.mAP
    other = evaluate_viewpoint(FEATURES, **LABELS, view=0, splits=4, seed=2)
    assert other.mAP != ranking.mAP


def test_single_viewpoint_matches_hand_computed_values():
    """With two images per identity there is one match, so AP is 1 / its rank."""
    features = torch.eye(4)[[0, 0, 1, 1]] + 0.01
    ranking = evaluate_viewpoint(
        features, ids=[5, 5, 6, 6], cameras=[1, 2, 1, 2], views=[2, 2, 2, 2], view=2
    )
    assert ranking.mAP == 1.0 and ranking.rank(1) == 1.0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"view": 5}, "views must contain an image of view 5, got no such"),
        ({"views": [1] * 48, "kind": "cross"}, "an image of a view other than 1, got no such"),
        ({"kind": "both"}, "kind must be one of 'single', 'cross', got 'both'"),
        ({"splits": 0}, "splits must be an integer >= 1, got 0"),
        ({"ids": IDS[:5]}, r"ids must have shape \(48,\)"),
    ],
)
def test_evaluate_viewpoint_raises_for_invalid_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        evaluate_viewpoint(FEATURES, **{**LABELS, "view": 1, **change})
