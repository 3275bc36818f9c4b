"""Galleries in blocks: comparison with definitions, all block sizes and sources, errors."""

import numpy as np
import pytest
import torch
from ranking_cases import ESTIMATES, draw, estimated_by, lists, streamed_ranks, whole_ranks
from reference.distances import order_values
from reference.exact import corners, whole
from reference.ranking import places

from reid_ext import evaluate, ops
from reid_ext.evaluation import evaluate_distances
from reid_ext.evaluation._engine import blocks
from reid_ext.features import feature_set

METRICS = ["cosine", "euclidean", "squared_euclidean"]


def problem(q=30, g=400, device="cpu", dtype=torch.float64, make=whole, dim=4):
    """Return features with many ties, and labels with positives, junk and ignored rows."""
    torch.manual_seed(0)
    labels = {
        "query_ids": torch.randint(0, 9, (q,)),
        "gallery_ids": torch.randint(-1, 11, (g,)),
        "query_cameras": torch.randint(0, 3, (q,)),
        "gallery_cameras": torch.randint(0, 3, (g,)),
    }
    labels["gallery_ids"][:60] = -1  # all images of one block
    return make(q, dim, device, dtype), make(g, dim, device, dtype), labels


def cut(gallery, *at):
    return list(gallery.tensor_split(at))


def same(a, b):
    return (
        torch.equal(a.average_precision.nan_to_num(), b.average_precision.nan_to_num())
        and torch.equal(a.first_match.nan_to_num(), b.first_match.nan_to_num())
        and torch.equal(a.cmc, b.cmc)
        and a.protocol == b.protocol
    )


# --- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("at", [(), (1,), (60, 61, 200), tuple(range(1, 400))])
def test_ranks_do_not_depend_on_the_block_size(at, metric, dtype, device):
    make = corners if metric == "cosine" else whole
    query, gallery, labels = problem(device=device, dtype=dtype, make=make)
    at_once = evaluate(query, gallery, **labels, metric=metric)
    assert same(evaluate(query, cut(gallery, *at), **labels, metric=metric), at_once)


@pytest.mark.parametrize("metric", METRICS)
def test_streamed_ranks_match_a_sort_for_small_problems(metric, device):
    rng = np.random.default_rng(2)
    make = corners if metric == "cosine" else whole
    for _ in range(150):
        q, g = rng.integers(1, (6, 40))
        query, gallery = make(q, 4, device), make(g, 4, device)
        gallery[rng.integers(g)] = rng.choice([0, np.nan, np.inf])
        positive, junk = draw(q, g, rng)
        if not positive.any():
            continue
        d = order_values(query, gallery, metric)
        d[:, ~gallery.isfinite().all(1).cpu()] = torch.nan
        pieces = cut(gallery, *sorted(rng.integers(0, g, 3)))
        got = streamed_ranks(query, pieces, positive, junk, metric)
        assert got == places(d, positive, junk)


def test_streamed_ranks_match_float64(device):
    torch.manual_seed(1)
    query, gallery, labels = problem(20, 3000, device, make=lambda n, d, dev, t: torch.randn(n, d))
    query, gallery = query.to(device), gallery.to(device)
    d = (
        1
        - torch.nn.functional.normalize(query.double())
        @ torch.nn.functional.normalize(gallery.double()).T
    )
    want = evaluate_distances(d, **labels)
    for dtype, atol in (torch.float64, 1e-7), (torch.float32, 1e-5):  # near ties may be swapped
        pieces = cut(gallery.to(dtype), 1000, 1001, 2500)
        got = evaluate(query.to(dtype), pieces, **labels).average_precision
        torch.testing.assert_close(got, want.average_precision, atol=atol, rtol=0)


@pytest.mark.slow
def test_streamed_ranks_match_for_a_long_gallery(device, monkeypatch):
    query, gallery, labels = problem(300, 9000, device, torch.float32)
    at_once = evaluate(query, gallery, **labels, metric="euclidean")
    monkeypatch.setattr(feature_set, "LONGEST_TILE", 8000)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 8500 * 16)
    assert same(evaluate(query, gallery, **labels, metric="euclidean"), at_once)


def test_non_finite_query_ranks_by_gallery_index_in_blocks(device):
    query, gallery, labels = problem(device=device)
    query[::2, 1] = torch.nan
    at_once = evaluate(query, gallery, **labels)
    assert same(evaluate(query, cut(gallery, 150), **labels), at_once)


# --- products in bfloat16 -------------------------------------------------------------------


def check_checked(query, gallery, metric, cuts=(7, 100)):
    """Check that bfloat16 estimates give exactly the ranks of full-precision products."""
    positive, junk = draw(len(query), len(gallery))
    pieces = cut(gallery, *cuts)
    full = streamed_ranks(query, pieces, positive, junk, metric)
    assert streamed_ranks(query, pieces, positive, junk, metric, "bfloat16") == full
    assert whole_ranks(query, gallery, positive, junk, metric, "bfloat16") == full


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e15])
def test_bfloat16_estimates_give_the_same_ranks(scale, metric):
    torch.manual_seed(3)
    query, gallery = torch.randn(40, 65) * scale, torch.randn(600, 65) * scale
    gallery[::50] = 0
    check_checked(query, gallery, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_bfloat16_estimates_separate_near_ties(metric):
    """Values differ only in the last bits, which bfloat16 cannot represent."""
    torch.manual_seed(4)
    query = torch.randn(20, 64)
    gallery = torch.randn(8, 64).repeat(60, 1)
    gallery *= 1 + torch.randint(-2, 3, gallery.shape) * 2.0**-23
    check_checked(query, gallery, metric)


@pytest.mark.parametrize("estimate", ESTIMATES)
@pytest.mark.parametrize("metric", METRICS)
def test_equal_rows_tie_in_any_block(metric, estimate):
    torch.manual_seed(5)
    query, kinds = torch.randn(20, 67), torch.randn(8, 67)
    gallery = kinds.repeat(60, 1)
    positive, junk = draw(20, 480)
    d = order_values(query, kinds, metric).repeat(1, 60)  # equal for equal rows
    pieces = cut(gallery, 5, 91, 92, 300)
    got = streamed_ranks(query, pieces, positive, junk, metric, estimate)
    assert got == places(d, positive, junk)


@pytest.mark.parametrize("metric", METRICS)
def test_bfloat16_estimates_match_for_non_finite_rows(metric):
    query, gallery = whole(12, 16, "cpu", torch.float32), whole(300, 16, "cpu", torch.float32)
    for row, value in ((3, torch.nan), (50, torch.inf), (299, -torch.inf), (7, 3e38), (9, 1e30)):
        gallery[row, 5] = value
    query[4, 2], query[5, 2], query[6, 2] = torch.nan, torch.inf, 3e38
    check_checked(query, gallery, metric)


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_bfloat16_estimates_match_for_more_than_a_tile(metric):
    torch.manual_seed(5)
    query, gallery = torch.randn(300, 32), torch.randn(4200, 32)
    check_checked(query, gallery, metric, cuts=())


def test_bfloat16_estimates_fall_back_for_undecided_pairs():
    """The estimates leave most pairs undecided, so these are computed in full precision."""
    torch.manual_seed(6)
    check_checked(1 + 1e-4 * torch.randn(300, 2), 1 + 1e-4 * torch.randn(500, 2), "euclidean")


@pytest.mark.parametrize("metric", METRICS)
def test_evaluate_gives_the_same_result_for_each_estimate(metric):
    torch.manual_seed(7)
    query, gallery, labels = problem(70, 3000)
    centre = 3 * torch.randn(12, 64)
    query = centre[labels["query_ids"]] + torch.randn(70, 64)
    gallery = centre[labels["gallery_ids"]] + torch.randn(3000, 64)
    rankings = []
    for estimate in ESTIMATES:
        with estimated_by(estimate):
            rankings += [evaluate(query, gallery, **labels, metric=metric)]
            rankings += [evaluate(query, cut(gallery, 1000), **labels, metric=metric)]
    assert all(same(ranking, rankings[0]) for ranking in rankings[1:])


def test_bfloat16_estimates_accept_unsorted_lists():
    """The full-precision product also accepts them, although lists should be ascending."""
    torch.manual_seed(8)
    query, gallery = torch.randn(5, 16), torch.randn(80, 16)
    positives, junk = map(lists, draw(5, 80))
    mixed = []
    for of_query in (positives, junk):
        pieces = of_query.indices.tensor_split(of_query.offsets[1:-1])
        mixed.append(ops.Lists(of_query.offsets, torch.cat([piece.flip(0) for piece in pieces])))
    want = ops.rank_positives(query, gallery, positives, junk)
    with estimated_by("bfloat16"):
        assert torch.equal(ops.rank_positives(query, gallery, *mixed), want)


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_approximate_ranks_match_bfloat16_products(estimate):
    """This holds for each forced estimate, in memory and in blocks."""
    torch.manual_seed(9)
    query, gallery = torch.randn(20, 64), torch.randn(600, 64)
    positives, junk = map(lists, draw(20, 600))
    with estimated_by(estimate):
        exact = ops.rank_positives(query, gallery, positives, junk)
        got = ops.rank_positives(query, gallery, positives, junk, compute="approximate")
    assert not torch.equal(got, exact) and (got - exact).abs().max() < 60
    of_query = torch.repeat_interleave(positives.offsets.diff())
    values = ops.pair_values(query, gallery, of_query, positives.indices)
    listed = lists(np.logical_or(*draw(20, 600)))
    counts = [
        ops.count_before(query, gallery, 0, values, positives, listed, compute=compute)
        for compute in ("exact", "approximate")
    ]
    assert not torch.equal(*counts)


def test_approximate_evaluation_is_close_to_exact():
    query, gallery, labels = problem(dtype=torch.float32, make=lambda n, d, *_: torch.randn(n, 64))
    exact = evaluate(query, gallery, **labels)
    assert evaluate(query, gallery, **labels, compute="bf16").mAP == pytest.approx(
        exact.mAP, abs=2e-2
    )


def test_exact_ranks_ignore_torch_precision_settings():
    backend = torch.backends.mkldnn.matmul
    query, gallery, labels = problem(dtype=torch.float32, make=lambda n, d, *_: torch.randn(n, 64))
    exact = evaluate(query, gallery, **labels)
    before = backend.fp32_precision
    try:
        backend.fp32_precision = "bf16"
        assert same(evaluate(query, gallery, **labels), exact)
        assert backend.fp32_precision == "bf16"
    finally:
        backend.fp32_precision = before


@pytest.mark.parametrize(
    "dtype, compute, message",
    [
        (torch.float64, "bf16", "compute must be 'exact' for float64 features, got 'bf16'"),
        (torch.float32, "tf32", "compute must be 'exact' or 'bf16' on the CPU, got 'tf32'"),
        (torch.float32, "fast", "compute must be one of 'exact', 'bf16', 'tf32', got 'fast'"),
    ],
)
def test_evaluate_raises_for_unsupported_compute(dtype, compute, message):
    query, gallery, labels = problem(dtype=dtype)
    with pytest.raises(ValueError, match=message):
        evaluate(query, gallery, **labels, compute=compute)


# --- sources --------------------------------------------------------------------------------


class Anew:
    """Yields the blocks again at each pass, as a loader would."""

    def __init__(self, pieces):
        self.pieces, self.passes = pieces, 0

    def __iter__(self):
        self.passes += 1
        yield from self.pieces


def test_evaluate_gives_the_same_result_for_every_source(tmp_path, device):
    query, gallery, labels = problem(device="cpu", dtype=torch.float32)
    at_once = evaluate(query, gallery, **labels, metric="euclidean")
    np.save(tmp_path / "gallery.npy", gallery.numpy())
    pieces = cut(gallery, 7, 300)
    anew = Anew(pieces)
    for source in (
        np.load(tmp_path / "gallery.npy", mmap_mode="r"),
        pieces,
        tuple(piece.numpy() for piece in pieces),
        anew,
        torch.utils.data.DataLoader(gallery, batch_size=64),
    ):
        got = evaluate(query.to(device), source, **labels, metric="euclidean")
        assert same(got, at_once), type(source)
    assert anew.passes == 2


def test_evaluate_accepts_queries_in_blocks():
    query, gallery, labels = problem(dtype=torch.float32)
    want = evaluate(query, gallery, **labels)
    for blocks_of in (cut(query, 7), [q.numpy() for q in cut(query, 7)], iter(cut(query, 3))):
        assert same(evaluate(blocks_of, gallery, **labels), want)
    with pytest.raises(
        ValueError, match="evaluate: query must have blocks with the same feature dimension"
    ):
        evaluate([query[:3], query[3:].double()], gallery, **labels)


def test_half_features_are_converted_twice_only_for_positives(monkeypatch):
    query, gallery, labels = problem(dtype=torch.float16)
    read = []
    original = ops.pair_values
    monkeypatch.setattr(
        ops, "pair_values", lambda q, b, *a, **k: read.append(len(b)) or original(q, b, *a, **k)
    )
    labels["gallery_ids"][:] = 20
    labels["gallery_ids"][[3, 399]] = labels["query_ids"][0]
    labels["gallery_cameras"][:] = 5
    evaluate(query, cut(gallery, 100), **labels)
    assert sum(read) == 2


# --- registration ---------------------------------------------------------------------------


def test_streaming_ops_are_registered_correctly(device):
    query, block = whole(5, 3, device), whole(20, 3, device)
    positives, junk = (lists(mask, device) for mask in draw(5, 20))
    of_query = torch.repeat_interleave(positives.offsets.diff())
    pairs = (query, block, of_query, positives.indices, 1)
    torch.library.opcheck(torch.ops.reid_ext.pair_values.default, pairs)
    values = torch.ops.reid_ext.pair_values(*pairs)
    lists_of = (positives.indices, positives.offsets, *junk, 1, 0)
    torch.library.opcheck(
        torch.ops.reid_ext.count_before.default, (query, block, 0, values, *lists_of)
    )


def test_streaming_runs_in_float32_under_autocast(device):
    query, block = torch.tensor([[1.0, 1.0]]), torch.tensor([[3.001, 3.0], [3.0, 3.0]])
    query, block = query.to(device), block.to(device)  # equal in bfloat16
    both, first = lists([[1, 0]], device), torch.zeros(1, dtype=torch.int64, device=device)
    with torch.autocast(device.type, torch.bfloat16):
        value = ops.pair_values(query, block, first, first, metric="euclidean")
        count = ops.count_before(query, block, 0, value, both, both, metric="euclidean")
    assert count.tolist() == [1]


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda g: iter(cut(g, 9)), "gallery must be iterable twice, got list_iterator"),
        (lambda g: (b for b in cut(g, 9)), "must be iterable twice, got generator.*starts again"),
        (lambda g: cut(g, 9)[:1], "have 400 rows in its blocks, as many as .* labels, got 9"),
        (lambda g: [g, g[:1]], "have 400 rows in its blocks, as many as .* labels, got more"),
        (lambda g: [g[:9], g[9:, :2]], "gallery must have feature dimension 4 like query, got 2"),
        (lambda g: [g[:9], g[9:].float()], "gallery must have dtype torch.float64 like query"),
        (lambda g: [g[:9], g[9:].long()], "gallery must be float32, float64.* got torch.int64"),
        (lambda g: [g[:0], g], r"gallery must have shape .* got shape \(0, 4"),
        (lambda g: [g[:9], "rows"], "gallery must be float32, float64.* got <U4"),
    ],
)
def test_evaluate_raises_for_invalid_blocks(change, message):
    query, gallery, labels = problem()
    with pytest.raises(ValueError, match=f"evaluate: .*{message}"):
        evaluate(query, change(gallery), **labels)


def arguments(**changed):
    """Return arguments of count_before for two queries and three images, with changes.

    Image 2 is the positive of query 0, and images 0 and 1 are those of query 1.
    """
    return {
        "query": torch.zeros(2, 4),
        "block": torch.zeros(3, 4),
        "first": 0,
        "thresholds": torch.zeros(3),
        "indices": torch.tensor([2, 0, 1]),
        "offsets": torch.tensor([0, 1, 3]),
        "listed_offsets": torch.tensor([0, 1, 3]),
        "listed_indices": torch.tensor([2, 0, 1]),
        "metric": 0,
        "compute": 0,
    } | changed


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"block": torch.zeros(3, 5)}, r"block must have shape \(3, 4\)"),
        ({"first": -1}, "first must not be negative, got -1"),
        ({"thresholds": torch.zeros(3).double()}, "thresholds must be Float like query"),
        ({"indices": torch.zeros(2).long()}, r"indices must have shape \(3,\)"),
        ({"offsets": torch.tensor([0, 3])}, r"offsets must have shape \(3,\)"),
        (
            {"offsets": torch.tensor([0, 4, 3])},
            "offsets must rise from 0 .*, 3, got",
        ),
        (
            {"listed_offsets": torch.tensor([0, 1, 2])},
            "listed_offsets must rise from 0 to",
        ),
        ({"metric": 3}, r"metric must be 0 \(cosine\), .* got 3"),
        ({"compute": 2}, r"compute must be 0 \(exact\) or 1 \(approximate\), got 2"),
        (
            {
                "query": torch.zeros(2, 4).double(),
                "block": torch.zeros(3, 4).double(),
                "thresholds": torch.zeros(3).double(),
                "compute": 1,
            },
            r"compute must be 0 \(exact\) unless features are float32, got 1",
        ),
    ],
)
def test_count_before_raises_for_invalid_arguments(changed, message):
    with pytest.raises(RuntimeError, match="count_before: " + message):
        torch.ops.reid_ext.count_before(**arguments(**changed))


@pytest.mark.parametrize("name, value", [("pair_query", 2), ("pair_row", 3), ("pair_row", -1)])
def test_pair_values_raises_for_rows_out_of_range(name, value):
    given = {"pair_query": torch.zeros(1).long(), "pair_row": torch.zeros(1).long()}
    given[name] = torch.tensor([value])
    with pytest.raises(RuntimeError, match=rf"pair_values: {name} must be in .* got {value}"):
        torch.ops.reid_ext.pair_values(torch.zeros(2, 4), torch.zeros(3, 4), **given, metric=0)
