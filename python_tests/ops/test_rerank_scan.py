"""Re-ranking in parts is bit-identical to re-ranking at once, for any number of parts."""

import itertools

import pytest
import torch

from reid_ext import ops

METRICS = ["cosine", "euclidean", "squared_euclidean"]


def people(q, g, device, dtype=torch.float32, dim=12):
    """Return features with about four images for each identity."""
    centres = torch.randn(1 + (q + g) // 4, dim)
    of = torch.randint(len(centres), (q + g,))
    x = (centres[of] + 0.7 * torch.randn(q + g, dim)).to(device, dtype)
    return x[:q], x[q:]


def scanned(query, gallery, parts, **options):
    """Return the merged scans of all parts."""
    return ops.merge_scans(
        [
            ops.k_reciprocal_scan(query, gallery, part=part, parts=parts, **options)
            for part in range(parts)
        ]
    )


def stretches(rows, parts):
    ends = [rows * part // parts for part in range(parts + 1)]
    return [(first, end - first) for first, end in itertools.pairwise(ends)]


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_merged_parts_are_bit_identical_to_one_part(parts, metric, dtype, device):
    query, gallery = people(170, 530, device, dtype)  # several blocks of rows, the last one partial
    options = {"k1": 8, "k2": 3, "metric": metric}
    scan = scanned(query, gallery, parts, **options)
    pieces = stretches(len(query), parts)
    rows = [ops.k_reciprocal_of_scan(query, gallery, scan, *of, **options) for of in pieces]
    assert torch.equal(torch.cat(rows), ops.k_reciprocal(query, gallery, **options))
    near = [
        ops.k_reciprocal_nearest_of_scan(query, gallery, scan, *of, 9, **options) for of in pieces
    ]
    want = ops.k_reciprocal_nearest(query, gallery, 9, **options)
    assert torch.equal(torch.cat([n.distances for n in near]), want.distances)
    assert torch.equal(torch.cat([n.indices for n in near]), want.indices)


@pytest.mark.parametrize("q, g", [(1, 1), (3, 4), (40, 30)])
def test_merged_parts_match_with_more_parts_than_blocks(q, g, device):
    query, gallery = people(q, g, device)
    scan = scanned(query, gallery, 5, k1=1)
    got = ops.k_reciprocal_of_scan(query, gallery, scan, 0, q, k1=1)
    assert torch.equal(got, ops.k_reciprocal(query, gallery, k1=1))


def test_equal_distances_are_ordered_by_index_across_parts(device):
    x = torch.randint(-1, 2, (700, 3), device=device).float()
    query, gallery = x[:200], x[200:]
    scan = scanned(query, gallery, 3)
    want = scanned(query, gallery, 1)
    assert torch.equal(scan.indices, want.indices) and torch.equal(scan.keys, want.keys)
    assert (want.keys[:, 1:] == want.keys[:, :-1]).any()
    got = ops.k_reciprocal_of_scan(query, gallery, scan, 0, 200)
    assert torch.equal(got, ops.k_reciprocal(query, gallery))


def test_overflowing_distances_come_last_in_parts_and_whole(device):
    x = torch.randn(300, 4, device=device)
    x[250:] *= 1e30  # squares overflow, so a row has fewer finite keys than neighbours
    query, gallery = x[:100], x[100:]
    scan = scanned(query, gallery, 3, k1=260)
    got = ops.k_reciprocal_of_scan(query, gallery, scan, 0, 100, k1=260)
    torch.testing.assert_close(
        got, ops.k_reciprocal(query, gallery, k1=260), rtol=0, atol=0, equal_nan=True
    )


def test_parts_have_equal_shares_of_the_blocks():
    query, gallery = people(100, 700, "cpu")
    full = ops.k_reciprocal_scan(query, gallery, k1=799)
    assert (full.indices < 800).all()
    shares = [
        (ops.k_reciprocal_scan(query, gallery, k1=799, part=part, parts=3).indices < 800).sum()
        for part in range(3)
    ]
    assert sum(shares) == 800 * 800  # one part sees each pair, in both directions
    assert max(shares) < 1.5 * 800 * 800 / 3


def test_k_reciprocal_of_scan_accepts_count_0(device):
    query, gallery = people(5, 40, device)
    scan = scanned(query, gallery, 2, k1=5)
    assert ops.k_reciprocal_of_scan(query, gallery, scan, 5, 0, k1=5).shape == (0, 40)
    near = ops.k_reciprocal_nearest_of_scan(query, gallery, scan, 2, 0, 3, k1=5)
    assert near.distances.shape == near.indices.shape == (0, 3)


def test_scan_ops_are_registered_correctly(device):
    query, gallery = people(3, 20, device)
    library, scan = torch.ops.reid_ext, scanned(query, gallery, 1, k1=5, k2=2, metric="cosine")
    check = torch.library.opcheck
    check(library.k_reciprocal_scan.default, (query, gallery, 5, 2, 0, 0, 2))
    given = (query, gallery, *scan, 5, 2, 0.3, 0, 1, 2)
    check(library.k_reciprocal_of_scan.default, given)
    check(library.k_reciprocal_nearest_of_scan.default, (*given, 4))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"parts": 0}, "parts must be at least 1, got 0"),
        ({"part": 2, "parts": 2}, "part must be from 0 to 1, got 2"),
        ({"part": -1}, "part must be from 0 to 0, got -1"),
        ({"k1": 10}, "k1 must be below the 10 images, got 10"),
    ],
)
def test_k_reciprocal_scan_raises_for_invalid_arguments(change, message, device):
    query, gallery = people(3, 7, device)
    with pytest.raises(ValueError, match="k_reciprocal_scan: " + message):
        ops.k_reciprocal_scan(query, gallery, **{"k1": 2, **change})


def test_k_reciprocal_of_scan_raises_for_invalid_arguments(device):
    query, gallery = people(3, 7, device)
    scan = scanned(query, gallery, 1, k1=2, k2=1)
    where = "k_reciprocal_of_scan: "

    def rows(scan, first=0, count=3, **options):
        return ops.k_reciprocal_of_scan(
            query, gallery, scan, first, count, **{"k1": 2, "k2": 1, **options}
        )

    with pytest.raises(ValueError, match=where + "first and count must be a range within the 3"):
        rows(scan, 2, 2)
    with pytest.raises(ValueError, match=where + r"keys must have shape \(10, 4\)"):
        rows(scan, k1=3)
    with pytest.raises(ValueError, match=where + "indices must be int64"):
        rows(scan._replace(indices=scan.indices.int()))
    with pytest.raises(ValueError, match=where + r"farthest must have shape \(10,\)"):
        rows(scan._replace(farthest=scan.farthest[1:]))
    with pytest.raises(ValueError, match="count must be from 1 to the 7 gallery images"):
        ops.k_reciprocal_nearest_of_scan(query, gallery, scan, 0, 3, 8, k1=2, k2=1)


def test_k_reciprocal_of_scan_raises_for_indices_out_of_range():
    query, gallery = people(3, 7, "cpu")
    scan = scanned(query, gallery, 1, k1=2, k2=1)
    wrong = scan._replace(indices=scan.indices + 7)
    with pytest.raises(ValueError, match="k_reciprocal_of_scan: indices must be from 0 to 10"):
        ops.k_reciprocal_of_scan(query, gallery, wrong, 0, 3, k1=2, k2=1)
