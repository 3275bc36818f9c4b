"""Re-ranking: comparison with sec. 3 of the paper as dense matrices, and errors."""

import pytest
import torch
from reference import reranking
from reference.distances import distances
from reference.exact import whole

from reid_ext import ops

METRICS = ["cosine", "euclidean", "squared_euclidean"]
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-5}


def reference(query, gallery, k1=20, k2=6, lambda_value=0.3, metric="squared_euclidean"):
    x = torch.cat([query, gallery]).cpu().double()
    return reranking.k_reciprocal(distances(x, x, metric), len(query), k1, k2, lambda_value)


def people(q, g, device, dtype=torch.float64, dim=12):
    """Return features with about four images for each identity."""
    centres = torch.randn(1 + (q + g) // 4, dim, dtype=torch.float64)
    of = torch.randint(len(centres), (q + g,))
    x = (centres[of] + 0.7 * torch.randn(q + g, dim, dtype=torch.float64)).to(device, dtype)
    return x[:q], x[q:]


def check(query, gallery, **options):
    got = ops.k_reciprocal(query, gallery, **options)
    assert got.dtype == query.dtype and got.device == query.device
    want = reference(query, gallery, **options)
    torch.testing.assert_close(
        got.cpu().double(), want, rtol=0, atol=TOLERANCE[query.dtype], equal_nan=False
    )
    return got, want


# --- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k1", [1, 2, 5, 20])
@pytest.mark.parametrize("k2, lambda_value", [(1, 0.3), (2, 0.0), (6, 0.3), (6, 1.0)])
def test_k_reciprocal_matches_the_paper(k1, k2, lambda_value, metric, dtype, device):
    query, gallery = people(30, 90, device, dtype)
    check(query, gallery, k1=k1, k2=k2, lambda_value=lambda_value, metric=metric)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("q, g", [(1, 60), (60, 1), (1, 4), (4, 1), (3, 2)])
def test_k_reciprocal_matches_the_paper_for_few_images(q, g, dtype, device):
    query, gallery = people(q, g, device, dtype)
    for k1 in {1, 2, 3, q + g - 1}:
        check(query, gallery, k1=k1, k2=2, metric="euclidean")


def test_k_reciprocal_is_lambda_for_a_single_pair(device):
    query, gallery = people(1, 1, device)
    # Each image is the only neighbour of the other, so the Jaccard distance is 0 and the
    # normalised original distance is 1.
    check(query, gallery, k1=1, k2=2)
    assert ops.k_reciprocal(query, gallery, k1=1, k2=2).item() == pytest.approx(0.3)


@pytest.mark.parametrize("k2", [1, 6, 150])
def test_k_reciprocal_matches_when_all_images_are_neighbours(k2, device):
    query, gallery = people(30, 90, device)
    check(query, gallery, k1=119, k2=min(k2, 120))
    more = ops.k_reciprocal(query, gallery, k1=20, k2=150)
    torch.testing.assert_close(more, ops.k_reciprocal(query, gallery, k1=20, k2=120))


@pytest.mark.parametrize("k1", [1, 3, 5, 7, 9])
def test_k_reciprocal_rounds_half_of_an_odd_k1_to_even(k1, device):
    check(*people(10, 60, device), k1=k1, k2=1, lambda_value=0)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("metric", METRICS[1:])
def test_k_reciprocal_orders_equal_distances_by_index(metric, dtype, device):
    for _ in range(20):
        query, gallery = whole(8, 3, device, dtype), whole(50, 3, device, dtype)
        check(query, gallery, k1=6, k2=3, metric=metric)


def test_k_reciprocal_matches_with_more_duplicates_than_k1(device):
    query, gallery = people(4, 40, device, dim=4)
    query, gallery = query.round(), gallery.round()
    gallery[5:20] = query[0]  # image 19 is not among its own 5 nearest, so its set is empty
    check(query, gallery, k1=4, k2=1)
    check(query, gallery, k1=4, k2=3)


def test_k_reciprocal_of_equal_images_is_zero(device):
    x = torch.ones(6, 3, device=device, dtype=torch.float64)
    got = ops.k_reciprocal(x[:2], x[2:], k1=5, k2=2)
    torch.testing.assert_close(
        got, torch.zeros_like(got)
    )  # equal sets, and original distances of 0


def test_k_reciprocal_matches_for_more_images_than_a_tile(device):
    torch.set_num_threads(1)
    query, gallery = people(40, 600, device)
    _, want = check(query, gallery)
    ranks = ops.k_reciprocal(query, gallery).argsort(dim=1).cpu()
    assert torch.equal(ranks, want.argsort(dim=1))


def test_k_reciprocal_gives_zero_features_cosine_0(device):
    query, gallery = people(5, 30, device)
    gallery[3] = 0
    check(query, gallery, k1=5, metric="cosine")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_k_reciprocal_computes_half_types_in_float32(dtype, device):
    query, gallery = (t.to(dtype) for t in people(5, 40, device))
    got = ops.k_reciprocal(query, gallery, k1=5)
    assert torch.equal(got, ops.k_reciprocal(query.float(), gallery.float(), k1=5))


# --- the nearest of every query, and given distances --------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("count", [1, 7, 90])
def test_k_reciprocal_nearest_is_the_start_of_a_stable_sort(count, dtype, device):
    query, gallery = whole(30, 3, device, dtype), whole(90, 3, device, dtype)
    options = {"k1": 8, "k2": 3, "metric": "euclidean"}
    full = ops.k_reciprocal(query, gallery, **options).sort(dim=1, stable=True)
    got = ops.k_reciprocal_nearest(query, gallery, count, **options)
    torch.testing.assert_close(got.distances, full.values[:, :count])
    torch.testing.assert_close(
        ops.k_reciprocal(query, gallery, **options).gather(1, got.indices), got.distances
    )
    later = got.distances[:, 1:] == got.distances[:, :-1]
    assert bool((got.indices[:, 1:] > got.indices[:, :-1])[later].all())


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("metric", METRICS)
def test_k_reciprocal_from_distances_matches_features(metric, dtype, device):
    query, gallery = people(30, 90, device)
    x = torch.cat([query, gallery])
    d = distances(x, x, metric).to(dtype)
    got = ops.k_reciprocal_from_distances(d[:30, 30:], d[:30, :30], d[30:, 30:])
    want = reference(query, gallery, metric=metric)
    torch.testing.assert_close(got.cpu().double(), want, rtol=0, atol=TOLERANCE[dtype])


# --- contract -------------------------------------------------------------------------------


def test_k_reciprocal_is_bit_identical_in_runs_and_threads(threads, device):
    query, gallery = whole(100, 8, device), whole(500, 8, device)
    results = []
    for count in (1, 1, 2):
        threads(count)
        results.append(ops.k_reciprocal(query, gallery))
        results.append(ops.k_reciprocal_nearest(query, gallery, 500).distances)
    assert all(torch.equal(results[0], r) for r in results[2::2])
    assert all(torch.equal(results[1], r) for r in results[3::2])


def test_k_reciprocal_accepts_strided_rows_and_keeps_them(device):
    x = torch.randn(60, 24, device=device)[::2, ::3]
    before = x.clone()
    got = ops.k_reciprocal(x[:10], x[10:], k1=5)
    assert torch.equal(got, ops.k_reciprocal(before[:10], before[10:], k1=5))
    d = torch.randn(30, 40, device=device).abs().T
    given = (d[:10], torch.zeros(10, 10, device=device), torch.ones(30, 30, device=device))
    got = ops.k_reciprocal_from_distances(*given, k1=5)
    assert torch.equal(got, ops.k_reciprocal_from_distances(d[:10].contiguous(), *given[1:], k1=5))
    assert torch.equal(x, before)


def test_k_reciprocal_has_no_gradient(device):
    query, gallery = (t.requires_grad_() for t in people(3, 30, device))
    assert not ops.k_reciprocal(query, gallery).requires_grad
    assert not ops.k_reciprocal_nearest(query, gallery, 2).distances.requires_grad


def test_k_reciprocal_runs_in_float32_under_autocast(device):
    query, gallery = people(5, 40, device, torch.float32)
    with torch.autocast(device.type, torch.bfloat16):
        got = ops.k_reciprocal(query, gallery)
    assert torch.equal(got, ops.k_reciprocal(query, gallery))


def test_rerank_ops_are_registered_correctly(device):
    query, gallery = people(3, 20, device)
    d = torch.cdist(query, gallery), torch.cdist(query, query), torch.cdist(gallery, gallery)
    library = torch.ops.reid_ext
    torch.library.opcheck(library.k_reciprocal.default, (query, gallery, 5, 2, 0.3, 0))
    nearest = library.k_reciprocal_nearest.default
    torch.library.opcheck(nearest, (query, gallery, 5, 2, 0.3, 0, 4))
    torch.library.opcheck(library.k_reciprocal_from_distances.default, (*d, 5, 2, 0.3))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"k1": 0}, "k1 must be at least 1, got 0"),
        ({"k1": 10}, "k1 must be below the 10 images, got 10"),
        ({"k2": 0}, "k2 must be at least 1, got 0"),
        ({"lambda_value": 1.1}, r"lambda_value must be in \[0, 1\], got 1.1"),
        ({"lambda_value": torch.nan}, "lambda_value must be a finite number, got nan"),
        ({"metric": "dot"}, "metric must be one of 'cosine', .* got 'dot'"),
        ({"query": torch.zeros(3)}, r"query must have shape \(N, D\), got \(3,\)"),
        ({"gallery": torch.zeros(7, 5)}, r"gallery must have shape \(7, 4\) .*, got \(7, 5\)"),
        ({"gallery": torch.zeros(7, 4).double()}, "gallery must be Float like query, got Double"),
    ],
)
def test_k_reciprocal_raises_for_invalid_arguments(change, message, device):
    features = {"query": torch.randn(3, 4), "gallery": torch.randn(7, 4)}
    given = {"k1": 2, **features, **change}
    given = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in given.items()}
    with pytest.raises(ValueError, match="k_reciprocal: " + message):
        ops.k_reciprocal(**given)


@pytest.mark.parametrize("count", [0, 8])
def test_k_reciprocal_nearest_raises_for_count_above_gallery(count, device):
    query, gallery = people(3, 7, device)
    message = f"count must be from 1 to the 7 gallery images, got {count}"
    with pytest.raises(ValueError, match="k_reciprocal_nearest: " + message):
        ops.k_reciprocal_nearest(query, gallery, count, k1=2)


@pytest.mark.parametrize("at, name", [(1, "query_query"), (2, "gallery_gallery")])
def test_k_reciprocal_from_distances_raises_for_other_shapes(at, name, device):
    given = [torch.zeros(shape, device=device) for shape in [(3, 7), (3, 3), (7, 7)]]
    given[at] = given[at][1:]
    with pytest.raises(ValueError, match=f"k_reciprocal_from_distances: {name} must have shape"):
        ops.k_reciprocal_from_distances(*given)
