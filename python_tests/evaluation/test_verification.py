"""TPR at FPR over all pairs, pooled queries and AP at k, against plain definitions."""

import numpy as np
import pytest
import torch
from reference.distances import distances
from reference.ranking import ranked_pairs, same_pairs
from reference.ranking import verification as by_definition

from reid_ext import evaluate_distances
from reid_ext.evaluation import pool_queries, verification, verify

RATES = [0.0, 1e-3, 0.01, 0.1, 0.5]


def problem(device="cpu", dtype=torch.float64):
    torch.manual_seed(0)
    labels = {
        "query_ids": torch.randint(0, 5, (30,)),
        "gallery_ids": torch.randint(-1, 6, (200,)),
        "query_cameras": torch.randint(0, 3, (30,)),
        "gallery_cameras": torch.randint(0, 3, (200,)),
    }
    centre = torch.randn(7, 6)
    query = centre[labels["query_ids"]] + torch.randn(30, 6)
    gallery = centre[labels["gallery_ids"]] + torch.randn(200, 6)
    return query.to(device, dtype), gallery.to(device, dtype), labels


@pytest.mark.parametrize("protocol", ["market1501", "msmt17", "generic"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean", "squared_euclidean"])
@pytest.mark.parametrize("at_once", [1 << 22, 400])
def test_verify_matches_reference(at_once, metric, protocol, monkeypatch, device):
    monkeypatch.setattr(verification, "PAIRS_AT_ONCE", at_once)
    query, gallery, labels = problem(device)
    got = verify(
        query, gallery, **labels, protocol=protocol, metric=metric, false_positive_rates=RATES
    )
    d = distances(query, gallery, metric).cpu().numpy()
    same = same_pairs(labels["query_ids"], labels["gallery_ids"])
    ranked = ranked_pairs(protocol, **labels)
    positive, negative = d[same & ranked], d[~same & ranked]
    _, want = by_definition(positive, negative, RATES)
    assert got.true_positive_rate.tolist() == want.tolist()
    assert (got.positives, got.negatives) == (len(positive), len(negative))
    assert got.false_positive_rate.tolist() == RATES


def test_equal_distances_are_accepted_together():
    query, gallery = torch.zeros(1, 1), torch.tensor([[1.0], [1.0], [1.0], [2.0], [0.5]])
    labels = {"query_ids": [1], "gallery_ids": [2, 2, 1, 2, 1], "protocol": "generic"}
    got = verify(query, gallery, **labels, metric="euclidean", false_positive_rates=[0.0, 0.4, 0.7])
    assert got.threshold.tolist() == [1.0, 1.0, 2.0]
    assert got.true_positive_rate.tolist() == [0.5, 0.5, 1.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_verify_computes_half_types_in_float32(dtype, device):
    query, gallery, labels = problem(device, dtype)
    got = verify(query, gallery, **labels, false_positive_rates=[0.1])
    want = verify(query.double(), gallery.double(), **labels, false_positive_rates=[0.1])
    torch.testing.assert_close(got.threshold, want.threshold, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "changed, message",
    [
        (
            {"false_positive_rates": [1.0]},
            r"false_positive_rates must be .*, got \[1.0\]",
        ),
        ({"false_positive_rates": []}, "false_positive_rates must be"),
        ({"metric": "dot"}, "metric must be one of"),
        ({"query": torch.full((30, 6), torch.nan).double()}, "query must be finite"),
        ({"query_ids": torch.full((30,), 9)}, "gallery_ids must share an identity"),
    ],
)
def test_verify_raises_for_invalid_arguments(changed, message):
    query, gallery, labels = problem()
    given = {"query": query, "gallery": gallery} | labels | changed
    with pytest.raises(ValueError, match=f"verify: {message}"):
        verify(given.pop("query"), given.pop("gallery"), **given)


def test_verify_raises_without_a_negative_pair():
    with pytest.raises(ValueError, match="gallery_ids must differ from query_ids in at least one"):
        verify([[1.0]], [[1.0]], query_ids=[1], gallery_ids=[1], protocol="generic")


# --- pooled queries -------------------------------------------------------------------------


@pytest.mark.parametrize("pooling, of", [("mean", np.mean), ("max", np.max)])
def test_pool_queries_pools_by_identity_and_camera(pooling, of, device):
    torch.manual_seed(1)
    x, ids, cameras = torch.randn(50, 4), torch.randint(3, 7, (50,)), torch.randint(0, 3, (50,))
    pooled, of_ids, of_cameras = pool_queries(
        x.to(device), query_ids=ids, query_cameras=cameras, pooling=pooling
    )
    pairs = sorted({(int(i), int(c)) for i, c in zip(ids, cameras, strict=True)})
    assert list(zip(of_ids.tolist(), of_cameras.tolist(), strict=True)) == pairs
    for row, (identity, camera) in zip(pooled.cpu(), pairs, strict=True):
        want = of(x[(ids == identity) & (cameras == camera)].numpy(), axis=0)
        np.testing.assert_allclose(row, want, rtol=1e-5, atol=1e-6)


def test_pool_queries_raises_for_invalid_arguments():
    labels = {"query_ids": [1, 2], "query_cameras": [1, 1]}
    with pytest.raises(ValueError, match="pool_queries: pooling must be one of 'mean', 'max'"):
        pool_queries(torch.ones(2, 3), **labels, pooling="sum")
    with pytest.raises(ValueError, match=r"pool_queries: query_ids must have shape \(3,\)"):
        pool_queries(torch.ones(3, 3), **labels)


# --- AP at k --------------------------------------------------------------------------------


def test_mAP_at_matches_hand_computed_values():
    labels = {"query_ids": [1], "gallery_ids": [2, 1, 1, 2, 1, 2], "protocol": "generic"}
    ranking = evaluate_distances([[1.0, 2, 3, 4, 5, 6]], **labels)  # matches at 2, 3 and 5
    assert ranking.mAP_at(1) == 0
    assert ranking.mAP_at(2) == pytest.approx((1 / 2) / 2)
    assert ranking.mAP_at(4) == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert ranking.mAP_at(100) == ranking.mAP
    assert ranking.mAP_at() == pytest.approx((1 / 2 + 2 / 3) / 3)  # R is 3
    assert ranking.match_ranks.indices.tolist() == [2, 3, 5]


def test_mAP_at_ignores_queries_without_a_match():
    ranking = evaluate_distances(
        [[1.0, 2], [1, 2]], query_ids=[1, 5], gallery_ids=[2, 1], protocol="generic"
    )
    assert ranking.mAP_at(2) == 1 / 2
    with pytest.raises(ValueError, match="mAP_at: k must be an integer >= 1, got 0"):
        ranking.mAP_at(0)


def test_verify_does_not_round_whole_shares_down():
    """29 of 100 pairs are a rate of 0.29, although 0.29 * 100 < 29 in floating point."""
    query, gallery = np.arange(101.0)[:, None] + 1, np.zeros((1, 1))
    labels = {"query_ids": range(101), "gallery_ids": [0], "protocol": "generic"}
    got = verify(query, gallery, **labels, metric="euclidean", false_positive_rates=[0.29, 0.28])
    assert got.negatives == 100 and got.threshold.tolist() == [31, 30]  # 29 and 28 pairs are nearer


def test_verify_raises_for_infinite_distances():
    x = 1e25 * torch.eye(3)
    labels = {"query_ids": [1, 2, 3], "gallery_ids": [1, 2, 3], "protocol": "generic"}
    with pytest.raises(ValueError, match=r"verify: .* must have finite distances, .* normalise"):
        verify(x, x, **labels, metric="euclidean")


def test_verify_leaves_out_the_pairs_of_the_rules():
    torch.manual_seed(0)
    x, ids = torch.randn(12, 4), torch.arange(12) // 3
    labels = {"query_ids": ids, "gallery_ids": ids, "protocol": "generic"}

    def is_itself(pairs):
        return pairs.query_rows == pairs.gallery_rows

    alone = verify(x, x, **labels, junk=is_itself)
    assert (alone.positives, alone.negatives) == (12 * 2, 12 * 9)
    assert verify(x, x, **labels).positives == 12 * 3
    allowed = torch.ones(12, 12, dtype=torch.bool).tril(-1)
    half = verify(x, x, **labels, candidates=allowed)
    assert (half.positives, half.negatives) == (12, 12 * 11 // 2 - 12)


def test_verify_names_a_protocol_with_a_fixed_gallery():
    with pytest.raises(ValueError, match="fixed gallery, got 'sysu-mm01'; use protocol 'generic'"):
        verify(torch.eye(2), torch.eye(2), query_ids=[1, 2], gallery_ids=[1, 2],
               protocol="sysu-mm01")  # fmt: skip


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("queries", [1, 2, 3, 7])
def test_no_threshold_separates_copies(queries, metric):
    query = torch.randn(1, 64).repeat(queries, 1)
    for size in (2, 3, 5, 17, 40):
        gallery = torch.randn(1, 64).repeat(size, 1)  # one positive, and its copies as negatives
        labels = {"query_ids": [0] * queries, "gallery_ids": [1] * (size - 1) + [0]}
        found = verify(
            query, gallery, **labels, protocol="generic", metric=metric, false_positive_rates=[0]
        )
        assert found.true_positive_rate.item() == 0
