"""Pairs excluded by masks and functions, and the counts of queries without a match."""

import numpy as np
import pytest
import torch
from reference.ranking import ranked_pairs, same_pairs, scores

from reid_ext import evaluate, evaluate_distances
from reid_ext.evaluation._engine import pairs


def problem(q=12, g=90, seed=0):
    random = np.random.default_rng(seed)
    labels = {
        "query_ids": random.integers(0, 6, q),
        "gallery_ids": random.integers(-1, 7, g),
        "query_cameras": random.integers(0, 3, q),
        "gallery_cameras": random.integers(0, 3, g),
    }
    return random.integers(0, 9, (q, g)).astype(np.float64), labels, random.random((q, g)) < 0.3


def precisions(distances, labels, protocol, left_out):
    """The AP of every query over the remaining entries of its row."""
    same = same_pairs(labels["query_ids"], labels["gallery_ids"])
    ranked = ranked_pairs(protocol, **labels) & ~left_out
    return scores(distances, same, ranked).average_precision


@pytest.mark.parametrize("protocol", ["market1501", "dukemtmc-reid", "generic"])
@pytest.mark.parametrize("at_once", [1 << 25, 100])
def test_masks_and_functions_exclude_pairs(protocol, at_once, monkeypatch, device):
    monkeypatch.setattr(pairs, "PAIRS_AT_ONCE", at_once)
    distances, labels, mask = problem()
    want = precisions(distances, labels, protocol, mask)
    given = torch.tensor(distances, device=device), labels | {"protocol": protocol}
    lookup = torch.tensor(mask, device=device)
    for rule in (mask, lookup, lambda p: lookup[p.query_rows, p.gallery_rows]):
        got = evaluate_distances(given[0], **given[1], junk=rule)
        np.testing.assert_allclose(got.average_precision, want)
    for rule in (~mask, lambda p: ~lookup[p.query_rows, p.gallery_rows]):
        got = evaluate_distances(given[0], **given[1], candidates=rule)
        np.testing.assert_allclose(got.average_precision, want)


def test_junk_and_candidates_work_together():
    distances, labels, mask = problem(seed=1)
    other = np.random.default_rng(2).random(mask.shape) < 0.3
    want = precisions(distances, labels, "market1501", mask | other)
    got = evaluate_distances(distances, **labels, junk=mask, candidates=~other)
    np.testing.assert_allclose(got.average_precision, want)
    assert "user-supplied junk and candidates" in str(got.protocol)
    query, gallery = torch.randn(12, 8), torch.randn(90, 8)
    full = evaluate_distances(torch.cdist(query.double(), gallery.double()), **labels, junk=mask)
    from_features = evaluate(query, gallery, **labels, junk=mask, metric="euclidean")
    blocks = evaluate(query, list(gallery.split(40)), **labels, junk=mask, metric="euclidean")
    torch.testing.assert_close(from_features.average_precision, full.average_precision)
    torch.testing.assert_close(blocks.average_precision, full.average_precision)


def test_rule_function_gets_labels_of_the_whole_gallery():
    distances, labels, _ = problem()
    seen = []

    def later_camera(pairs):
        seen.append(pairs)
        return pairs.gallery_cameras < pairs.query_cameras

    got = evaluate_distances(distances, **labels, protocol="generic", junk=later_camera)
    earlier = labels["gallery_cameras"][None] < labels["query_cameras"][:, None]
    want = precisions(distances, labels, "generic", earlier)
    np.testing.assert_allclose(got.average_precision, want)
    assert torch.cat([p.query_rows for p in seen]).flatten().tolist() == list(range(12))
    assert seen[0].gallery_ids.tolist() == [labels["gallery_ids"].tolist()]


def test_result_counts_unmatched_queries_by_reason():
    labels = {
        "query_ids": [1, 2, 3, 4],
        "gallery_ids": [1, 2, 3],
        "query_cameras": [1, 1, 1, 1],
        "gallery_cameras": [2, 1, 2],
    }
    junk = np.zeros((4, 3), bool)
    junk[2, 2] = True  # of query 3; query 2's match is from its camera, 4 has no match
    got = evaluate_distances(np.ones((4, 3)), **labels, junk=junk)
    assert got.num_valid == 1 and tuple(got.unmatched) == (1, 1, 1, 0)
    assert (
        "1 of 4 queries have a match; 1 with no gallery image of their identity, 1 with only junk "
        "matches by the protocol, 1 with all matches excluded by junk or candidates"
    ) in str(got)
    assert got.to_dict()["unmatched"] == {"no_image": 1, "protocol": 1, "rules": 1, "junk": 0}


@pytest.mark.parametrize(
    "rule, message",
    [
        (np.ones((12, 89), bool), r"bool of shape \(12, 90\).*got torch.bool \(12, 89\)"),
        (np.ones((12, 90)), r"bool of shape \(12, 90\).*got float64"),
        (lambda pairs: pairs.query_ids == 1, r"bool of shape \(12, 90\).*\(12, 1\)"),
        (lambda pairs: True, "bool of shape .* got True"),
    ],
)
@pytest.mark.parametrize("name", ["junk", "candidates"])
def test_evaluate_distances_raises_for_invalid_rules(name, rule, message):
    distances, labels, _ = problem()
    with pytest.raises(ValueError, match=f"evaluate_distances: {name} must .*{message}"):
        evaluate_distances(distances, **labels, **{name: rule})


def test_evaluate_raises_when_rules_exclude_all_matches():
    distances, labels, _ = problem()
    with pytest.raises(ValueError, match=r"(junk|candidates).* must leave at least one query"):
        evaluate_distances(distances, **labels, candidates=np.zeros(distances.shape, bool))


def test_evaluate_distances_raises_for_invalid_labels():
    distances, labels, _ = problem()
    with pytest.raises(ValueError, match="query_cameras must not be negative, got -1"):
        evaluate_distances(distances, **(labels | {"query_cameras": np.full(12, -1)}))
    too_large = np.full(12, 2**63, np.uint64)
    with pytest.raises(ValueError, match="query_ids must fit in int64, got 9223372036854775808"):
        evaluate_distances(distances, **(labels | {"query_ids": too_large}))
    with pytest.raises(ValueError, match="query_ids must be integers"):
        evaluate_distances(distances, **(labels | {"query_ids": [2**70] * 12}))


def test_masks_may_have_any_memory_layout():
    distances, labels = np.random.default_rng(0).random((3, 8)), {"protocol": "generic"}
    labels |= {"query_ids": [1, 1, 1], "gallery_ids": [1, 2] * 4}
    mask = np.random.default_rng(1).random((3, 8)) < 0.3
    want = evaluate_distances(distances, **labels, junk=mask.tolist()).average_precision
    fixed = mask.copy()
    fixed.setflags(write=False)
    for same in (fixed, mask[:, ::-1].copy()[:, ::-1], torch.tensor(mask), lambda pairs: mask):
        got = evaluate_distances(distances, **labels, junk=same).average_precision
        assert torch.equal(got, want)
