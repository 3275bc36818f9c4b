"""evaluate(rerank=...) equals rerank followed by evaluate_distances."""

import sys

import pytest
import torch

from reid_ext import evaluate, evaluate_distances, rerank


def problem():
    torch.manual_seed(0)
    labels = {
        "query_ids": torch.arange(20) % 10,
        "gallery_ids": torch.arange(90) % 15,
        "query_cameras": torch.zeros(20).long(),
        "gallery_cameras": torch.arange(90) % 4,
    }
    centre = torch.randn(15, 8)
    query = centre[labels["query_ids"]] + torch.randn(20, 8)
    return query, centre[labels["gallery_ids"]] + torch.randn(90, 8), labels


@pytest.mark.parametrize(
    "options, name",
    [
        (True, "cosine, re-ranked"),
        ({}, "cosine, re-ranked"),
        ({"k1": 7, "k2": 3}, r"cosine, re-ranked (k1 7, k2 3)"),
        ({"method": "aqe", "metric": "euclidean"}, "re-ranked (method aqe, metric euclidean)"),
    ],
)
def test_evaluate_ranks_by_reranked_distances(options, name):
    query, gallery, labels = problem()
    got = evaluate(query, gallery, **labels, rerank=options, max_rank=9)
    given = {"metric": "cosine"} | ({} if options is True else options)
    want = evaluate_distances(rerank(query, gallery, **given), **labels, max_rank=9)
    assert torch.equal(got.cmc, want.cmc)
    assert got.mAP == want.mAP != evaluate(query, gallery, **labels).mAP
    assert name in str(got.protocol) and "given distances" not in str(got.protocol)


def test_evaluate_raises_for_invalid_rerank_options():
    query, gallery, labels = problem()
    with pytest.raises(ValueError, match=r"rerank\['k1'\] must be an integer >= 1 .*, got 0"):
        evaluate(query, gallery, **labels, rerank={"k1": 0})


@pytest.mark.parametrize("protocol", ["market1501", "cuhk03-classic"])
def test_evaluate_checks_labels_before_reranking(protocol, monkeypatch):
    monkeypatch.setattr(sys.modules["reid_ext.evaluation.retrieval"], "rerank_by", pytest.fail)
    with pytest.raises(ValueError, match=r"evaluate: .*cameras must be given"):
        evaluate(
            *torch.randn(2, 4, 3), query_ids=[0] * 4, gallery_ids=[0] * 4, protocol=protocol,
            rerank=True,
        )  # fmt: skip
