"""Nearest gallery images against a stable sort, for all block sizes and sources."""

import numpy as np
import pytest
import torch
from reference.distances import order_values
from reference.exact import corners, whole

from reid_ext import search
from reid_ext.evaluation._engine import blocks

METRICS = ["cosine", "euclidean", "squared_euclidean"]


def sorted_rows(query, gallery, metric, k):
    """Order and distances by sorting every row in float64."""
    d = order_values(query, gallery, "euclidean" if metric != "cosine" else "cosine").numpy()
    order = d.argsort(axis=1, kind="stable")[:, :k]
    d = np.take_along_axis(d, order, 1)
    if metric == "cosine":
        query = query.double().cpu()
        return order, 1 + d / query.norm(dim=1, keepdim=True).numpy()
    return order, d if metric == "euclidean" else d**2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("q, g, k", [(1, 1, 1), (30, 200, 7), (5, 300, 300)])
def test_search_matches_a_stable_sort(q, g, k, metric, dtype, device):
    make = corners if metric == "cosine" else whole
    query, gallery = make(q, 4, device, dtype), make(g, 4, device, dtype)
    order, want = sorted_rows(query, gallery, metric, k)
    for given in (gallery, list(gallery.split(40)), list(gallery.split(1))):
        got, indices = search(query, given, k, metric=metric)
        assert indices.tolist() == order.tolist()
        assert got.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        np.testing.assert_allclose(got.cpu(), want, atol=1e-6)


def test_search_result_does_not_depend_on_the_source(tmp_path, monkeypatch):
    query, gallery = whole(9, 5, "cpu", torch.float32), whole(500, 5, "cpu", torch.float32)
    want = search(query, gallery, 6, metric="euclidean")
    np.save(tmp_path / "gallery.npy", gallery.numpy())
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 64 * 20)
    for source in (mapped, gallery.numpy(), gallery.split(99)):
        got = search(query, source, 6, metric="euclidean")
        assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])


@pytest.mark.parametrize(
    "k, changed, message",
    [
        (0, {}, "k must be an integer >= 1, got 0"),
        (2.0, {}, "k must be an integer >= 1, got 2.0"),
        (51, {}, "k must be .* at most 50 .* rows.*, got 51"),
        (51, {"gallery": list(torch.ones(50, 3).split(20))}, "k must be .* at most 50 .*, got 51"),
        (
            1,
            {"gallery": torch.ones(50, 4)},
            "gallery must have feature dimension 3 like query, got 4",
        ),
        (1, {"gallery": iter([torch.ones(50, 3)])}, "gallery must be iterable twice"),
        (
            1,
            {"gallery": {}.keys()},
            "gallery must contain at least one block of rows, got no block",
        ),
        (1, {"gallery": np.ones((0, 3), np.float32)}, "gallery must have shape"),
        (1, {"metric": "dot"}, "metric must be one of 'cosine'"),
    ],
)
def test_search_raises_for_invalid_arguments(k, changed, message):
    given = {"query": torch.ones(4, 3), "gallery": torch.ones(50, 3)} | changed
    with pytest.raises(ValueError, match=f"search: {message}"):
        search(given.pop("query"), given.pop("gallery"), k, **given)
