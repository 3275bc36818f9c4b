"""rerank: arguments, results, errors, and its effect on a ranking."""

import numpy as np
import pytest
import torch
from reference import reranking
from reference.distances import distances

from reid_ext import ArgumentError, evaluate_distances, ops, rerank
from reid_ext.evaluation.reranking import METHODS


def people(images=8, count=40, noise=0.7, dim=16):
    """Features (N, dim), identities and cameras; the first 40 are queries."""
    centres = torch.randn(count, dim)
    identity = torch.arange(count).repeat(images)
    camera = torch.arange(images).repeat_interleave(count)
    return centres[identity] + noise * torch.randn(len(identity), dim), identity, camera


def mean_ap(distances, identity, camera, q=40):
    return evaluate_distances(
        distances,
        query_ids=identity[:q], gallery_ids=identity[q:],
        query_cameras=camera[:q], gallery_cameras=camera[q:],
    ).mAP  # fmt: skip


def test_rerank_equals_the_op(device):
    x = people()[0].to(device)
    options = {"k1": 5, "k2": 3, "lambda_value": 0.2, "metric": "cosine"}
    assert torch.equal(
        rerank(x[:40], x[40:], **options), ops.k_reciprocal(x[:40], x[40:], **options)
    )
    got = rerank(x[:40], x[40:], **options, top=7)
    want = ops.k_reciprocal_nearest(x[:40], x[40:], 7, **options)
    assert all(map(torch.equal, got, want))


def test_rerank_defaults_match_the_released_code():
    x = people()[0]
    want = ops.k_reciprocal(
        x[:40], x[40:], k1=20, k2=6, lambda_value=0.3, metric="squared_euclidean"
    )
    assert torch.equal(rerank(x[:40], x[40:]), want)


def test_rerank_improves_a_ranking():
    x, identity, camera = people()
    plain = mean_ap(torch.cdist(x[:40], x[40:]), identity, camera)
    better = mean_ap(rerank(x[:40], x[40:], k1=10, k2=3), identity, camera)
    assert better > plain + 0.05


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "squared_euclidean"])
@pytest.mark.parametrize("alpha", [0, 1.0, 3.0])
@pytest.mark.parametrize("k2", [1, 2, 6])
@pytest.mark.parametrize("method", ["aqe", "dba"])
def test_aqe_and_dba_match_reference(method, k2, alpha, metric, device):
    x = people(4, 20)[0].double().to(device)
    want = distances(*reranking.expanded(x[:15], x[15:], method, k2, alpha), metric)
    options = {"method": method, "k2": k2, "alpha": alpha, "metric": metric}
    got = rerank(x[:15], x[15:], **options)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-6)
    top = rerank(x[:15], x[15:], **options, top=5)
    torch.testing.assert_close(top.distances, got.sort(dim=1).values[:, :5], rtol=0, atol=1e-6)
    torch.testing.assert_close(got.gather(1, top.indices), top.distances, rtol=0, atol=1e-6)


@pytest.mark.parametrize("k1, k2", [(1, 1), (6, 1), (6, 3), (20, 6), (80, 80)])
def test_gnn_matches_reference(k1, k2, device):
    x = people(4, 20)[0].double().to(device)
    want = reranking.gnn(x, 15, k1, k2)
    got = rerank(x[:15], x[15:], method="gnn", k1=k1, k2=k2)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-6)
    top = rerank(x[:15], x[15:], method="gnn", k1=k1, k2=k2, top=5)
    torch.testing.assert_close(top.distances, got.sort(dim=1).values[:, :5])
    torch.testing.assert_close(got.gather(1, top.indices), top.distances)


@pytest.mark.parametrize(
    "options", [{"method": "gnn", "k1": 8}, {"method": "aqe"}, {"method": "dba"}]
)
def test_other_methods_improve_a_ranking(options):
    x, identity, camera = people()
    plain = mean_ap(torch.cdist(x[:40], x[40:]), identity, camera)
    better = mean_ap(rerank(x[:40], x[40:], **options, k2=4), identity, camera)
    assert better > plain + 0.02


def test_rerank_accepts_arrays_and_lists():
    x = people()[0]
    want = rerank(x[:40], x[40:])
    assert torch.equal(rerank(x[:40].numpy(), x[40:].numpy()), want)
    got = rerank(x[:40].double().tolist(), x[40:].double().tolist())
    torch.testing.assert_close(got.float(), want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["k_reciprocal", "gnn", "aqe", "dba"])
def test_rerank_accepts_numpy_numbers(method):
    x = people()[0]
    numbers = {"k1": np.int64(9), "k2": np.int32(3), "lambda_value": np.float32(0.5)}
    numbers = {name: value for name, value in numbers.items() if name in METHODS[method]}
    plain = {name: value.item() for name, value in numbers.items()}
    got = rerank(x[:40], x[40:], method=method, **numbers, top=np.int64(5))
    want = rerank(x[:40], x[40:], method=method, **plain, top=5)
    assert all(map(torch.equal, got, want))


@pytest.mark.parametrize(
    "method, name, value",
    [
        ("aqe", "k1", 3),
        ("dba", "lambda_value", 0.5),
        ("gnn", "metric", "euclidean"),
        ("k_reciprocal", "alpha", 3),
    ],
)
def test_rerank_raises_for_arguments_of_other_methods(method, name, value):
    with pytest.raises(ArgumentError, match=f"{name} must be left out with method '{method}'") as e:
        rerank(torch.randn(3, 4), torch.randn(9, 4), method=method, **{name: value})
    assert e.value.argument == name and e.value.function == "rerank"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["query", "gallery"])
def test_rerank_raises_for_features_that_are_not_finite(name, value, device):
    features = {
        "query": torch.randn(3, 4, device=device),
        "gallery": torch.randn(9, 4, device=device),
    }
    features[name][2, 1] = value
    with pytest.raises(ValueError, match=f"rerank: {name} must be finite, got .* in row 2"):
        rerank(**features, k1=3)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"k1": 0}, "k1 must be an integer >= 1 .*, got 0"),
        ({"k1": 2.5}, "k1 must be an integer >= 1 .*, got 2.5"),
        ({"k1": 12}, "k1 must be .* at most 11 .*other images.*, got 12"),
        ({"k2": 0}, "k2 must be an integer >= 1, got 0"),
        ({"lambda_value": -0.1}, r"lambda_value must be a finite number >= 0 and <= 1, got -0.1"),
        ({"lambda_value": 1.1}, r"lambda_value must be a finite number >= 0 and <= 1, got 1.1"),
        ({"lambda_value": np.nan}, r"lambda_value must be a finite number >= 0 and <= 1, got nan"),
        ({"metric": "dot"}, "metric must be one of .* got 'dot'"),
        ({"method": "gnn", "k1": 13}, "k1 must be .* at most 12 .*number of images.*, got 13"),
        ({"method": "gnn", "k1": 4, "k2": 5}, "k2 must be .* at most 4 .k1., got 5"),
        ({"method": "aqe", "k2": 11}, "k2 must be .* at most 10 .*, got 11"),
        ({"method": "dba", "k2": 10}, "k2 must be .* at most 9 .*images.*, got 10"),
        ({"method": "dba", "alpha": -1}, "alpha must be a finite number >= 0, got -1"),
        ({"method": "magic"}, "method must be one of 'k_reciprocal'.* got 'magic'"),
        ({"top": 0}, "top must be an integer >= 1 .*, got 0"),
        ({"top": 10}, "top must be .* at most 9 .*images.*, got 10"),
        ({"query": torch.zeros(3)}, r"query must have shape .* got shape \(3,\)"),
        ({"query": torch.zeros(0, 4)}, "query must have shape .* N >= 1 and D >= 1"),
        ({"gallery": torch.zeros(9, 5)}, "gallery must have feature dimension 4 like query, got 5"),
        (
            {"gallery": torch.zeros(9, 4, device="meta")},
            "gallery must be a tensor with values",
        ),
    ],
)
def test_rerank_raises_for_invalid_arguments(change, message):
    given = {"query": torch.randn(3, 4), "gallery": torch.randn(9, 4)} | change
    if "k1" in METHODS.get(given.get("method", "k_reciprocal"), "k1"):
        given.setdefault("k1", 3)
    with pytest.raises(ValueError, match="rerank: " + message):
        rerank(**given)
