"""Ranks of positives: comparison with a stable sort without junk, and errors."""

import numpy as np
import pytest
import torch
from ranking_cases import draw, lists
from reference.distances import order_values
from reference.exact import corners, whole
from reference.ranking import places

from reid_ext import ops
from reid_ext._runtime.arguments import ArgumentError

METRICS = ["cosine", "euclidean", "squared_euclidean"]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def check_distances(d, positive, junk):
    got = ops.rank_positives_from_distances(d, lists(positive, d.device), lists(junk, d.device))
    assert got.dtype == torch.int64 and got.tolist() == places(d, positive, junk)


def check_features(query, gallery, positive, junk, metric):
    wanted = (lists(positive, query.device), lists(junk, query.device))
    got = ops.rank_positives(query, gallery, *wanted, metric=metric)
    assert got.tolist() == places(order_values(query, gallery, metric), positive, junk)


# --- values ---------------------------------------------------------------------------------


def test_rank_positives_matches_hand_computed_ranks(device):
    d = torch.tensor([[0.5, 0.1, 0.5, 0.3, 0.9], [0.0, 0.0, 0.0, 0.0, 0.0]], device=device)
    positives = lists([[1, 0, 1, 0, 1], [0, 0, 0, 1, 0]], device)
    junk = lists([[0, 1, 0, 0, 0], [1, 0, 0, 0, 1]], device)
    # Query 0 ranks 3, 0, 2, 4 (1 is junk). Query 1 ranks 1, 2, 3 (0 and 4 are junk).
    assert ops.rank_positives_from_distances(d, positives, junk).tolist() == [2, 3, 4, 3]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("q, g", [(0, 9), (9, 0), (0, 0), (1, 1), (5, 31), (33, 128), (20, 1000)])
def test_ranks_match_a_stable_sort_of_distances(q, g, dtype, device):
    check_distances(torch.randn(q, g, device=device).to(dtype), *draw(q, g))  # half types have ties


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("q, g, dim", [(0, 9, 3), (9, 0, 3), (1, 1, 1), (33, 129, 17), (4, 5, 0)])
def test_ranks_match_a_stable_sort_of_features(q, g, dim, metric, device):
    query, gallery = (torch.randn(n, dim, device=device, dtype=torch.float64) for n in (q, g))
    check_features(query, gallery, *draw(q, g), metric)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [4, 16])
def test_equal_distances_are_ranked_by_gallery_index(dim, metric, dtype, device):
    make = corners if metric == "cosine" else whole
    query, gallery = make(40, dim, device, dtype), make(500, dim, device, dtype)
    gallery[::7] = 0
    check_features(query, gallery, *draw(40, 500), metric)


def test_ranks_match_a_stable_sort_for_small_distances(device):
    rng = np.random.default_rng(0)
    for _ in range(2000 if device.type == "cpu" else 300):
        q, g = rng.integers(0, (4, 40))
        levels = np.array([0.0, -0.0, 1.0, 2.0, -1.0, np.inf, -np.inf, np.nan])
        d = levels[rng.integers(0, rng.integers(1, 9), (q, g))]
        check_distances(torch.tensor(d, device=device), *draw(q, g, rng))


def test_ranks_match_a_stable_sort_for_small_features(device):
    rng = np.random.default_rng(1)
    for _ in range(500 if device.type == "cpu" else 100):
        q, g, dim = rng.integers(0, (4, 40, 4))
        query, gallery = (torch.tensor(rng.integers(-1, 2, (n, dim)) * 1.0) for n in (q, g))
        metric = METRICS[1 + rng.integers(2)]
        check_features(query.to(device), gallery.to(device), *draw(q, g, rng), metric)


def test_distances_and_features_give_the_same_ranks(device):
    query, gallery, wanted = whole(30, 5, device), whole(200, 5, device), draw(30, 200)
    wanted = [lists(mask, device) for mask in wanted]
    want = ops.rank_positives_from_distances(torch.cdist(query, gallery), *wanted)
    for metric in METRICS[1:]:
        assert torch.equal(ops.rank_positives(query, gallery, *wanted, metric=metric), want)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("metric", METRICS)
def test_non_finite_gallery_image_is_ranked_last(metric, value, device):
    make = corners if metric == "cosine" else whole
    query, gallery = make(9, 4, device), make(40, 4, device)
    d = order_values(query, gallery, metric)
    for at in (0, 17, 39):
        gallery[at, at % 4] = value
        d[:, at] = torch.nan
    positive, junk = draw(9, 40)
    ranks = ops.rank_positives(
        query, gallery, lists(positive, device), lists(junk, device), metric=metric
    )
    assert ranks.tolist() == places(d, positive, junk)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("metric", METRICS)
def test_non_finite_query_ranks_by_gallery_index(metric, value, device):
    query, gallery = corners(3, 4, device), corners(40, 4, device)
    d = order_values(query, gallery, metric)
    query[1, 2] = value
    d[1] = torch.nan
    positive, junk = draw(3, 40)
    ranks = ops.rank_positives(
        query, gallery, lists(positive, device), lists(junk, device), metric=metric
    )
    assert ranks.tolist() == places(d, positive, junk)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ranks_are_correct_when_squared_distances_overflow(dtype, device):
    """Squared norms are just below the largest number, and twice the products overflow."""
    longest = torch.finfo(dtype).max ** 0.5 * 0.99
    gallery = torch.linspace(0.5, 1, 40, dtype=torch.float64)[torch.randperm(40), None]
    query, (positive, junk) = torch.tensor([[0.9]], dtype=torch.float64), draw(1, 40)
    want = places((query - gallery).square().T, positive, junk)
    query, gallery = ((t * longest).to(device, dtype) for t in (query, gallery))
    wanted = lists(positive, device), lists(junk, device)
    assert ops.rank_positives(query, gallery, *wanted, metric="euclidean").tolist() == want


@pytest.mark.parametrize("metric", METRICS)
def test_zero_query_is_ranked_by_its_metric(metric, device):
    query, gallery = torch.zeros(2, 4, device=device), corners(40, 4, device, torch.float32)
    gallery[::5] *= 2
    gallery[::3] = 0
    check_features(query, gallery, *draw(2, 40), metric)


def test_ranks_separate_cosines_with_equal_rounded_distances(device):
    query, gallery = [[1.0, 0.0]], [[0.0, 1.0], [1e-10, 1.0]]
    query, gallery = (torch.tensor(t, device=device) for t in (query, gallery))
    both, none = lists([[1, 0]], device), lists([[0, 0]], device)
    assert ops.rank_positives(query, gallery, both, none).tolist() == [2]


def test_ranks_match_when_all_images_are_positive_or_junk(device):
    d, everything = torch.randn(5, 70, device=device), np.ones((5, 70), bool)
    check_distances(d, everything, ~everything)
    check_distances(d, ~everything, everything)
    check_distances(d, ~everything, ~everything)
    some = draw(5, 70)[0]
    check_distances(d, some, ~some)


def test_ranks_match_for_more_queries_than_a_block(device):
    query, gallery = whole(1100, 3, device), whole(20, 3, device)
    check_features(query, gallery, *draw(1100, 20), "euclidean")
    check_distances(torch.randn(1100, 20, device=device), *draw(1100, 20))


def test_ranks_match_for_a_gallery_with_few_queries_per_block(device):
    g = (1 << 21) + 5  # a block holds 4 queries in float64
    query = torch.arange(-2.0, 3.0, device=device, dtype=torch.float64)[:, None]
    gallery = torch.arange(g, device=device).remainder(1000).double()[:, None]
    positives = torch.tensor([7, 999, 1998, g - 1], device=device)
    all_lists = ops.Lists(torch.arange(6, device=device) * 4, positives.repeat(5))
    junk = ops.Lists(torch.arange(6, device=device), torch.arange(5, device=device))
    got = ops.rank_positives(query, gallery, all_lists, junk, metric="euclidean").reshape(5, 4)
    index = torch.arange(g, device=device)
    for q in range(5):
        d = (query[q] - gallery[:, 0]).abs()
        before = [((d < d[p]) | ((d == d[p]) & (index < p))).long() for p in positives]
        assert got[q].tolist() == sorted(int(1 + b.sum() - b[q]) for b in before)


# --- input types ----------------------------------------------------------------------------


def test_ranking_accepts_strided_input(device):
    query, gallery = whole(4, 30, device).t(), whole(4, 90, device).t()[::2]
    positive, junk = draw(30, 45)
    want = places(order_values(query, gallery, "euclidean"), positive, junk)
    strided = [
        ops.Lists(*(torch.stack([t, t], 1)[:, 0] for t in lists(mask, device)))
        for mask in (positive, junk)
    ]
    assert ops.rank_positives(query, gallery, *strided, metric="euclidean").tolist() == want
    check_distances(torch.cdist(gallery, query).t(), positive, junk)
    check_distances(torch.randn(1, 45, device=device).expand(30, -1), positive, junk)


@pytest.mark.parametrize("dtype", DTYPES)
def test_ranks_require_no_gradient(dtype, device):
    query, gallery = whole(5, 3, device, dtype), whole(20, 3, device, dtype)
    wanted = [lists(mask, device) for mask in draw(5, 20)]
    want = ops.rank_positives(query, gallery, *wanted)
    got = ops.rank_positives(query.requires_grad_(), gallery.requires_grad_(), *wanted)
    assert torch.equal(got, want) and not got.requires_grad
    d = torch.randn(5, 20, device=device, requires_grad=True)
    assert not ops.rank_positives_from_distances(d, *wanted).requires_grad


def test_ranking_does_not_change_its_input(device):
    query, gallery = whole(5, 3, device), whole(20, 3, device)
    wanted = [lists(mask, device) for mask in draw(5, 20)]
    d = torch.cdist(query, gallery)
    before = [t.clone() for t in (query, gallery, d)]
    ops.rank_positives(query, gallery, *wanted)
    ops.rank_positives_from_distances(d, *wanted)
    assert all(map(torch.equal, before, (query, gallery, d)))


def test_ranks_are_equal_with_two_threads(device):
    d, wanted = torch.randn(300, 200, device=device), draw(300, 200)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            check_distances(d, *wanted)
    finally:
        torch.set_num_threads(before)


# --- registration ---------------------------------------------------------------------------


def test_ranking_ops_are_registered_correctly(device):
    query, gallery = whole(5, 3, device), whole(20, 3, device)
    positives, junk = (lists(mask, device) for mask in draw(5, 20))
    features = torch.ops.reid_ext.rank_positives.default
    torch.library.opcheck(features, (query, gallery, *positives, *junk, METRICS.index("cosine"), 0))
    from_distances = torch.ops.reid_ext.rank_positives_from_distances.default
    torch.library.opcheck(from_distances, (torch.cdist(query, gallery), *positives, *junk))


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [False, True])
def test_ranking_ops_compile_to_one_graph(dynamic, device):
    def ranks(query, gallery, *wanted):
        return (
            ops.rank_positives(query, gallery, *wanted, metric="euclidean"),
            ops.rank_positives_from_distances(torch.cdist(query, gallery), *wanted),
        )

    compiled = torch.compile(ranks, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for q, g in ((5, 20), (7, 30)) if dynamic else ((5, 20),):
        query, gallery = whole(q, 3, device), whole(g, 3, device)
        wanted = [lists(mask, device) for mask in draw(q, g)]
        torch.testing.assert_close(
            compiled(query, gallery, *wanted), ranks(query, gallery, *wanted)
        )


def test_ranking_runs_in_float32_under_autocast(device):
    query, gallery = torch.tensor([[1.0, 1.0]]), torch.tensor([[3.001, 3.0], [3.0, 3.0]])
    query, gallery = query.to(device), gallery.to(device)  # equal in bfloat16
    positives, junk = lists([[1, 0]], device), lists([[0, 0]], device)
    with torch.autocast(device.type, torch.bfloat16):
        ranks = ops.rank_positives(query, gallery, positives, junk, metric="euclidean")
    assert ranks.tolist() == [2]


# --- errors ---------------------------------------------------------------------------------


def arguments(device, **changed):
    """Return arguments for two queries, three images and four positives, with changes."""
    made = {
        "query": torch.zeros(2, 4),
        "gallery": torch.zeros(3, 4),
        "positive_offsets": torch.tensor([0, 1, 4]),
        "positive_indices": torch.tensor([2, 0, 1, 2]),
        "junk_offsets": torch.tensor([0, 1, 1]),
        "junk_indices": torch.tensor([0]),
    }
    made = {name: value.to(device) for name, value in (made | changed).items()}
    return {"metric": METRICS.index("cosine"), "compute": 0} | made


REFUSED = [
    ({"query": torch.zeros(4)}, r"query must have shape \(N, D\), got \(4,\)"),
    ({"query": torch.ones(2, 4).long()}, "query must be float32 or float64, got Long"),
    ({"gallery": torch.zeros(3, 5)}, r"gallery must have shape \(3, 4\) .* query, got \(3, 5\)"),
    ({"gallery": torch.zeros(3)}, r"gallery must have shape .* query, got \(3,\)"),
    ({"gallery": torch.zeros(3, 4).double()}, "gallery must be Float like query, got Double"),
    ({"positive_offsets": torch.tensor([0, 4])}, r"positive_offsets .* \(3,\) .* got \(2,\)"),
    ({"junk_offsets": torch.tensor([0, 0, 1, 1])}, r"junk_offsets .* \(3,\) .* got \(4,\)"),
    ({"junk_offsets": torch.tensor([0, 1, 1]).int()}, "junk_offsets must be int64, got Int"),
    ({"junk_indices": torch.zeros(1)}, "junk_indices must be int64, got Float"),
    ({"positive_indices": torch.zeros(4, 1).long()}, r"positive_indices .* got \(4, 1\)"),
]
WRONG_VALUES = [
    ("positive_offsets", [1, 1, 4], "must rise from 0 to the number of indices, 4"),
    ("positive_offsets", [0, 1, 3], "must rise from 0 to the number of indices, 4.* from 0 to 3"),
    ("positive_offsets", [0, 5, 4], "must rise from 0 to the number of indices, 4"),
    ("positive_offsets", [0, -1, 4], "must rise from 0 to the number of indices, 4"),
    ("junk_offsets", [0, 1, 2], "must rise from 0 to the number of indices, 1"),
    ("positive_indices", [2, 0, 1, 3], r"must be in \[0, 3\), the indices of the gallery, got 3"),
    ("junk_indices", [-1], r"must be in \[0, 3\), the indices of the gallery, got -1"),
]


@pytest.mark.parametrize("changed, message", REFUSED)
def test_rank_positives_raises_for_invalid_arguments(changed, message, device):
    with pytest.raises(RuntimeError, match="rank_positives: " + message):
        torch.ops.reid_ext.rank_positives(**arguments(device, **changed))


def test_rank_positives_raises_for_unknown_metric(device):
    x, none = torch.randn(2, 3, device=device), torch.zeros(3, dtype=torch.int64, device=device)
    nothing = ops.Lists(none, none[:0])
    with pytest.raises(ArgumentError, match=r"metric must be one of 'cosine', .* got 'dot'"):
        ops.rank_positives(x, x, nothing, nothing, metric="dot")
    with pytest.raises(RuntimeError, match=r"metric must be 0 \(cosine\), .* got 3"):
        torch.ops.reid_ext.rank_positives(**arguments(device) | {"metric": 3})


def test_rank_positives_raises_for_invalid_compute(device):
    x, none = torch.randn(2, 3, device=device), torch.zeros(3, dtype=torch.int64, device=device)
    nothing = ops.Lists(none, none[:0])
    with pytest.raises(ArgumentError, match=r"compute must be one of 'exact', .* got 'bf16'"):
        ops.rank_positives(x, x, nothing, nothing, compute="bf16")
    message = "rank_positives: compute must be 'exact' for float64 features, got 'approximate'"
    with pytest.raises(ArgumentError, match=message):
        ops.rank_positives(x.double(), x.double(), nothing, nothing, compute="approximate")


def test_kernel_errors_name_the_public_arguments(device):
    x, none = torch.randn(2, 3, device=device), torch.zeros(3, dtype=torch.int64, device=device)
    nothing = ops.Lists(none, none[:0])
    with pytest.raises(ArgumentError, match=r"^rank_positives: gallery must have shape") as caught:
        ops.rank_positives(x, x[:, :2], nothing, nothing)
    assert (caught.value.function, caught.value.argument) == ("rank_positives", "gallery")
    with pytest.raises(ArgumentError, match=r"^rank_positives: junk.offsets must have shape"):
        ops.rank_positives(x, x, nothing, ops.Lists(none[:2], none[:0]))


@pytest.mark.parametrize("name, values, message", WRONG_VALUES)
def test_rank_positives_raises_for_invalid_lists(name, values, message, device):
    if device.type != "cpu":
        pytest.skip("list values are checked on the CPU only")
    given = arguments(device, **{name: torch.tensor(values)})
    with pytest.raises(RuntimeError, match=f"rank_positives: {name} {message}"):
        torch.ops.reid_ext.rank_positives(**given)
    of_lists = {k: v for k, v in given.items() if k.startswith(("positive", "junk"))}
    with pytest.raises(RuntimeError, match=f"rank_positives_from_distances: {name} {message}"):
        torch.ops.reid_ext.rank_positives_from_distances(torch.zeros(2, 3), **of_lists)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 1)])
def test_ranking_raises_for_distances_that_are_not_a_matrix(shape, device):
    none = lists(np.zeros((2, 3), int), device)
    with pytest.raises(ArgumentError, match=r"distances must have shape \(.*\), got"):
        ops.rank_positives_from_distances(torch.zeros(shape, device=device), none, none)


@pytest.mark.parametrize("name", [*arguments("cpu")][3:])
def test_rank_positives_raises_for_other_devices(name, device):
    if device.type == "cpu":
        pytest.skip("needs two devices")
    given = arguments(device)
    with pytest.raises(RuntimeError, match=f"{name} must be on cuda:0 like .*, got cpu"):
        torch.ops.reid_ext.rank_positives(**given | {name: given[name].cpu()})


@pytest.mark.slow
def test_ranking_supports_more_than_2_to_the_31_pairs(device):
    q, g, step = 30_000, 72_000, 41_000  # q * g > 2 ** 31; points 0, 1, 2, ... on a line
    index = torch.arange(q, device=device)
    query, gallery = (torch.arange(n, device=device).double()[:, None] for n in (q, g))
    positives = ops.Lists(torch.arange(q + 1, device=device), index + step)
    junk = ops.Lists(torch.zeros_like(positives.offsets), index[:0])
    ranks = ops.rank_positives(query, gallery, positives, junk, metric="squared_euclidean")
    assert torch.equal(
        ranks, index + step + 1
    )  # all images to the left, itself, and step - 1 to the right


@pytest.mark.parametrize("metric", METRICS)
def test_rank_positives_with_many_positives(metric, device):
    query, gallery = whole(4, 5, device, torch.float32), whole(300, 5, device, torch.float32)
    gallery[7] = torch.nan
    positive = torch.rand(4, 300) < 0.6  # with many equal distances
    junk = ~positive & (torch.rand(4, 300) < 0.3)
    check_features(query, gallery, positive.numpy(), junk.numpy(), metric)
