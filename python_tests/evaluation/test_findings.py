"""Findings: evaluations that cannot mean what they seem to mean say so."""

import json

import pytest
import torch

from reid_ext import evaluate, evaluate_distances
from reid_ext.evaluation import mean_of_trials

IDENTITIES = torch.arange(120) // 4
CAMERAS = torch.arange(120) % 4


def features(noise=0.5, seed=0):
    random = torch.Generator().manual_seed(seed)
    centres = torch.randn(30, 24, generator=random)
    return centres[IDENTITIES] + noise * torch.randn(120, 24, generator=random)


def codes(ranking):
    return [finding.code for finding in ranking.findings]


def labels(query_ids=IDENTITIES, gallery_ids=IDENTITIES, **more):
    return {"query_ids": query_ids, "gallery_ids": gallery_ids, "protocol": "generic", **more}


def not_itself(pairs):
    return pairs.query_rows == pairs.gallery_rows


def test_sound_evaluation_has_no_finding():
    cameras = {"query_cameras": CAMERAS, "gallery_cameras": CAMERAS, "protocol": "market1501"}
    assert codes(evaluate(features(), features(), **labels(**cameras))) == []
    assert codes(evaluate(features(seed=1), features(seed=1) + 0.1, **labels())) == []


@pytest.mark.parametrize("scale", [1, 1 + 1e-7])
def test_set_searched_against_itself_is_found(scale):
    x = features()
    order = torch.randperm(120, generator=torch.Generator().manual_seed(1))
    shuffled = labels(gallery_ids=IDENTITIES[order])
    assert codes(evaluate(x, x[order] * scale, **shuffled)) == ["finds-itself"]
    part = evaluate(x[:30], x[order], **labels(IDENTITIES[:30], IDENTITIES[order]))
    assert "30 of 30 queries" in part.findings[0].text
    assert codes(evaluate(x, x, **labels(junk=not_itself))) == []


def test_copies_of_other_identities_are_no_finding():
    x = features()
    assert "finds-itself" not in codes(evaluate(x, x, **labels(gallery_ids=IDENTITIES.flip(0))))


def test_labels_in_another_order_are_found():
    order = torch.randperm(120, generator=torch.Generator().manual_seed(1))
    ranking = evaluate(features(), features(seed=0) + 0.1, **labels(gallery_ids=IDENTITIES[order]))
    assert codes(ranking) == ["chance"]


def test_similarities_in_place_of_distances_are_found():
    similarity = features() @ features().T
    assert codes(evaluate_distances(similarity, **labels(junk=not_itself))) == ["reversed"]
    assert codes(evaluate_distances(-similarity, **labels(junk=not_itself))) == []


def test_features_without_information_are_found():
    assert "equal-features" in codes(evaluate(torch.ones(120, 8), torch.ones(120, 8), **labels()))
    x = features()
    x[::3] = 0
    found = evaluate(features(seed=2), x, **labels()).findings
    zero = next(finding for finding in found if finding.code == "zero-features")
    assert "40 of 120" in zero.text and not zero.is_warning


def test_common_offset_is_found():
    x = features()
    assert codes(evaluate(x + 1e5, x.flip(0) + 1e5 + 1, **labels(junk=not_itself)))[-1] == "offset"


def test_few_queries_with_a_match_are_found():
    strangers = IDENTITIES + 1000 * (torch.arange(120) > 20)
    assert "few-matches" in codes(evaluate(features(), features() + 0.1, **labels(strangers)))


@pytest.mark.parametrize(
    ("query_cameras", "gallery_cameras", "code"),
    [
        (CAMERAS, CAMERAS + 10, "no-junk"),
        (CAMERAS, CAMERAS + 1, "shifted-cameras"),
        (CAMERAS * 0 + (torch.arange(120) == 0), CAMERAS * 0, "almost-all-junk"),
    ],
)
def test_cameras_that_do_not_fit_are_found(query_cameras, gallery_cameras, code):
    cameras = {"query_cameras": query_cameras, "gallery_cameras": gallery_cameras}
    options = labels(**cameras) | {"protocol": "market1501"}
    assert code in codes(evaluate(features(), features(seed=1), **options))


def test_findings_are_printed_in_json_and_kept_by_means():
    x = features()
    ranking = evaluate(x, x, **labels())
    assert str(ranking).splitlines()[-1].startswith("warning (finds-itself): 120 of 120")
    assert json.loads(json.dumps(ranking.to_dict()))["findings"][0]["code"] == "finds-itself"
    assert codes(mean_of_trials([ranking, ranking])) == ["finds-itself"]


@pytest.mark.parametrize(("value", "code"), [(float("nan"), "not-finite"), (0.0, "zero-features")])
@pytest.mark.parametrize("side", [0, 1])
def test_damaged_rows_of_either_side_are_found(value, code, side):
    sets = [features(), features(seed=1)]
    sets[side][5] = value
    found = [f for f in evaluate(*sets, **labels()).findings if f.code == code]
    assert len(found) == 1 and f"1 of 120 {['query', 'gallery'][side]}" in found[0].text
    assert not found[0].is_warning


def test_distances_with_nan_are_found():
    distances = torch.cdist(features(), features(seed=1))
    distances[3] = float("nan")
    assert "not-finite" in codes(evaluate_distances(distances, **labels()))


def test_dead_dimensions_are_no_finding():
    x = torch.zeros(120, 400)
    x[:, 3:27] = features()  # dimension 0 and most others are dead
    y = torch.zeros(120, 400)
    y[:, 3:27] = features(seed=1)
    assert codes(evaluate(x, y, **labels())) == codes(evaluate(x[:, 3:27], y[:, 3:27], **labels()))


def test_copies_are_found_in_long_features():
    x = torch.randn(120, 300, generator=torch.Generator().manual_seed(0))
    assert "finds-itself" in codes(evaluate(x, x.flip(0), **labels(gallery_ids=IDENTITIES.flip(0))))
