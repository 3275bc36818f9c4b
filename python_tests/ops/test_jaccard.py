"""Jaccard distances between all images: comparison with dense matrices in both conventions."""

import sys

import numpy as np
import pytest
import torch
from reference import reranking
from torch.nn import functional as F

from reid_ext import evaluation, jaccard_distance, ops

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5}
CONVENTIONS = ["clustering", "reranking"]


def reference(x, k1, k2, convention):
    return reranking.jaccard(x, k1, k2, clustering=convention == "clustering")


def people(n, device="cpu", dtype=torch.float64, dim=8):
    """Return unit features with five images for each identity."""
    centres = torch.randn(1 + n // 5, dim, dtype=torch.float64)
    x = centres[torch.arange(n) % len(centres)] + 0.4 * torch.randn(n, dim, dtype=torch.float64)
    return F.normalize(x).to(device, dtype)


def dense(got, fill=1.0):
    n = len(got.offsets) - 1
    matrix = torch.full((n, n), fill, dtype=torch.float64)
    rows = torch.repeat_interleave(torch.arange(n), got.offsets.cpu().diff())
    matrix[rows, got.indices.cpu()] = got.distances.cpu().double()
    return matrix


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("k1, k2", [(1, 1), (2, 2), (7, 3), (20, 6), (30, 1), (59, 70)])
def test_jaccard_matches_reference(k1, k2, convention, dtype, device):
    x = people(60, device, dtype)
    got = jaccard_distance(x, k1, k2, convention=convention)
    assert got.distances.dtype == dtype and got.distances.device == x.device
    want = reference(x, k1, k2, convention)
    torch.testing.assert_close(dense(got), want, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_jaccard_matches_reference_with_ties_and_duplicates(convention, device):
    for _ in range(10):
        x = torch.randint(-1, 2, (50, 3), device=device).double()
        got = dense(jaccard_distance(x, 6, 3, convention=convention))
        torch.testing.assert_close(got, reference(x, 6, 3, convention), rtol=0, atol=1e-6)


def test_jaccard_accepts_the_smallest_number_of_images(device):
    one, two = people(1, device), people(2, device)
    assert dense(jaccard_distance(one, 1, 1)).tolist() == [[0.0]]
    torch.testing.assert_close(
        dense(jaccard_distance(two, 2, 1)), reference(two, 2, 1, "clustering")
    )


def test_jaccard_rows_are_sorted_symmetric_and_share_a_neighbour(device):
    x = people(300, device)
    got = jaccard_distance(x, 10, 3)
    matrix = dense(got)
    assert torch.equal(matrix, matrix.T)
    assert (matrix.diagonal() < 1e-9).all() and (got.distances >= 0).all()
    for start, end in zip(got.offsets[:-1].tolist(), got.offsets[1:].tolist(), strict=True):
        assert (got.indices[start:end].diff() > 0).all()
    assert 300 < len(got.indices) < 300 * 300 / 2


def test_jaccard_leaves_out_pairs_beyond_max_distance(device):
    x = people(100, device)
    matrix = dense(jaccard_distance(x, 10, 3))
    near = jaccard_distance(x, 10, 3, max_distance=0.6)
    assert 100 <= len(near.distances) == int((matrix <= 0.6).sum())
    torch.testing.assert_close(dense(near), torch.where(matrix <= 0.6, matrix, 1.0))


def test_jaccard_matches_reference_for_many_images(device):
    x = people(5000, device, torch.float32)
    got = jaccard_distance(x, 6, 2)
    some = jaccard_distance(x, 6, 2, max_distance=0.3)
    assert torch.equal((got.distances <= 0.3).sum(), torch.tensor(len(some.distances)).to(device))
    assert int(got.offsets[-1]) == len(got.indices) == len(got.distances)


def test_jaccard_distance_returns_an_equal_scipy_matrix():
    pytest.importorskip("scipy")
    got = jaccard_distance(people(40), 6, 2)
    matrix = got.to_scipy()
    assert matrix.shape == (40, 40) and matrix.nnz == len(got.distances)
    np.testing.assert_array_equal(matrix.toarray(), dense(got, fill=0.0).numpy())


@pytest.mark.slow
def test_dbscan_on_jaccard_distances_finds_the_identities():
    cluster = pytest.importorskip("sklearn.cluster")
    identity = torch.arange(160) % 20
    centres = torch.randn(20, 16)
    x = F.normalize(centres[identity] + 0.2 * torch.randn(160, 16))
    distances = jaccard_distance(x, 10, 3, max_distance=0.6).to_scipy()
    found = cluster.DBSCAN(eps=0.5, min_samples=4, metric="precomputed").fit_predict(distances)
    assert len(set(zip(found.tolist(), identity.tolist(), strict=True))) == len(set(found)) == 20


def test_jaccard_is_registered_correctly(device):
    op = torch.ops.reid_ext.jaccard.default
    torch.library.opcheck(op, (people(20, device), 5, 2, True, 1.0))


def test_jaccard_is_bit_identical_with_two_threads(device):
    x, before = people(700, device, torch.float32), torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(ops.jaccard((8 * x).round(), k1=6, k2=2))
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *results))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"k1": 0}, "k1 must be an integer >= 1 .*, got 0"),
        ({"k1": 10}, "k1 must be .* at most 9 .*, got 10"),
        ({"k1": 9, "convention": "reranking"}, "k1 must be .* at most 8 .*, got 9"),
        ({"k2": 0}, "k2 must be an integer >= 1, got 0"),
        ({"convention": "other"}, "convention must be one of 'clustering', 'reranking'"),
        ({"max_distance": 1.5}, r"max_distance must be a finite number >= 0 and <= 1, got 1.5"),
        ({"features": torch.zeros(3)}, r"features must have shape .* got shape \(3,\)"),
        ({"features": torch.full((9, 2), torch.nan)}, "features must be finite, got NaN"),
    ],
)
def test_jaccard_distance_raises_for_invalid_arguments(change, message):
    with pytest.raises(ValueError, match="jaccard_distance: " + message):
        jaccard_distance(**{"features": torch.randn(9, 4), "k1": 3, "k2": 2} | change)


def test_jaccard_op_raises_for_invalid_arguments(device):
    x = people(9, device)
    with pytest.raises(ValueError, match="jaccard: k1 must be at most the 9 images, got 10"):
        ops.jaccard(x, k1=10, k2=1, clustering=True)
    with pytest.raises(ValueError, match="jaccard: k1 must be below the 9 images, got 9"):
        ops.jaccard(x, k1=9, k2=1)
    with pytest.raises(ValueError, match=r"jaccard: max_distance must be in \[0, 1\], got -1"):
        ops.jaccard(x, k1=2, k2=1, max_distance=-1)


def test_jaccard_distance_is_exported():
    assert evaluation.jaccard_distance is jaccard_distance


def test_jaccard_distance_without_scipy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(ImportError, match=r"to_scipy requires SciPy.*pip install scipy"):
        jaccard_distance(people(9), 3, 2).to_scipy()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("n", [193, 194, 385])
def test_copies_in_different_tiles_have_the_same_distances(n, dtype):
    copies = torch.cat([torch.arange(0, n - 1, 6), torch.tensor([n - 1])])
    for _ in range(20):
        x = F.normalize(torch.randn(n, 43, dtype=dtype))
        x[copies] = x[0].clone()
        matrix = dense(jaccard_distance(x, len(copies) - 2, 2))  # some copies are not among k1
        matrix.fill_diagonal_(0)
        rows = matrix[copies][:, copies[1:-4]]
        assert (rows.amax(0) - rows[-1]).abs().max() < TOLERANCE[dtype]
