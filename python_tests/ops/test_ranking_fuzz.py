"""Compares random rankings with brute force, and all ways of ranking with each other.

The tests take a few seconds. REID_EXT_FUZZ=20000 runs 20000 new problems per test.
"""

import os

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ranking_cases import ESTIMATES, draw, estimated_by, lists, streamed_ranks, whole_ranks
from reference.distances import distances, order_values
from reference.exact import exact_rows
from reference.ranking import (
    places,
    ranked_pairs,
    same_pairs,
    scores,
    single_shot_cmc,
    verification,
)

from reid_ext import ops
from reid_ext.evaluation import Pairs, evaluate, evaluate_distances, verify

PROBLEMS = int(os.environ.get("REID_EXT_FUZZ", "0"))
METRICS = ["cosine", "euclidean", "squared_euclidean"]
PROTOCOLS = ["market1501", "dukemtmc-reid", "cuhk03-np", "msmt17", "veri776", "generic"]
NO_MATCH = r"must (share|leave|differ)"
SEEDS = st.integers(0, 2**32 - 1)

fuzz = settings(
    max_examples=PROBLEMS or 40,
    derandomize=not PROBLEMS,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def near_rows(n, dim, rng):
    """Return rows of all norms. Many differ only in the last bits or in their norm."""
    kinds = rng.standard_normal((rng.integers(1, 9), dim)).astype(np.float32)
    if rng.random() < 0.3:
        kinds = torch.tensor(kinds).bfloat16().float().numpy()
    if rng.random() < 0.3:
        kinds = np.abs(kinds)
    rows = kinds[rng.integers(0, len(kinds), n)]
    spread = rng.choice([0, 2.0**-23, 2.0**-16, 2.0**-9, 1])
    rows = rows * (1 + spread * rng.integers(-2, 3, rows.shape))
    span = rng.choice([0, 0, 3, 17])
    length = 10.0 ** rng.integers(-span, span + 1, (n, 1) if rng.random() < 0.5 else ())
    tiny = rng.choice([1, 1, 1, 1e-12, 1e-25])
    rows = (rows * length * tiny).astype(np.float32)
    if rng.random() < 0.2 and n and dim:
        rows[rng.integers(n), rng.integers(dim)] = rng.choice([np.nan, np.inf, -np.inf, 3e38])
    return torch.tensor(rows)


def cut(gallery, rng):
    at = rng.integers(0, len(gallery) + 1, rng.integers(0, 4))
    return list(gallery.tensor_split(sorted(at.tolist())))


@fuzz
@given(SEEDS, st.integers(0, 30), st.integers(1, 200), st.sampled_from(METRICS), st.data())
def test_ranks_of_exact_distances_match_brute_force(seed, q, g, metric, data):
    """Brute force in float64, whole and block-wise ranking, float32 and bfloat16 agree."""
    rng = np.random.default_rng(seed)
    dims = [1, 4, 16, 64, 256] if metric == "cosine" else [1, 2, 7, 33, 64, 600]
    dim = data.draw(st.sampled_from(dims))
    dtype = data.draw(st.sampled_from([torch.float32] * 3 + [torch.float64, torch.bfloat16]))
    query, gallery = (exact_rows(rng, n, dim, metric, dtype) for n in (q, g))
    d = order_values(query, gallery, metric)
    for row in np.flatnonzero(rng.random(g) < 0.03):
        gallery[row, rng.integers(dim)] = float(rng.choice([np.nan, np.inf, -np.inf]))
        d[:, row] = torch.nan
    for row in np.flatnonzero(rng.random(q) < 0.1):
        query[row, rng.integers(dim)] = float(rng.choice([np.nan, np.inf]))
        d[row] = torch.nan
    positive, junk = draw(q, g, rng)
    want = places(d, positive, junk)
    wanted = lists(positive), lists(junk)
    assert ops.rank_positives_from_distances(d, *wanted).tolist() == want
    pieces = cut(gallery, rng)
    for estimate in ESTIMATES:
        got = streamed_ranks(query, pieces, positive, junk, metric, estimate)
        assert got == want, estimate
        assert whole_ranks(query, gallery, positive, junk, metric, estimate) == want, estimate


def all_pair_values(query, gallery, metric):
    pairs = torch.cartesian_prod(torch.arange(len(query)), torch.arange(len(gallery))).T
    values = ops.pair_values(query, gallery, *pairs.contiguous(), metric=metric)
    return values.reshape(len(query), len(gallery))


def orders(query, gallery, metric):
    """Return the order values of a metric in float64, and a bound of their float32 error."""
    x, y = query.double(), gallery.double()
    product, y_norm = x @ y.T, y.norm(dim=1)
    size = x.norm(dim=1, keepdim=True) * y_norm
    if metric == "cosine":
        size, product = size / y_norm, product / y_norm
        return -product, (query.shape[1] + 9) * 2.0**-22 * size
    value = y_norm.square() / 2 - product
    return value, (query.shape[1] + 9) * 2.0**-22 * (size + y_norm.square())


@fuzz
@given(SEEDS, st.integers(1, 20), st.integers(1, 200), st.sampled_from(METRICS), st.data())
def test_ranks_of_near_ties_match_a_sort(seed, q, g, metric, data):
    """A stable sort by pair_values equals all ways of ranking, and is close to float64."""
    rng = np.random.default_rng(seed)
    dim = data.draw(st.sampled_from([1, 2, 31, 32, 33, 64, 100, 257]))
    query, gallery = near_rows(q, dim, rng), near_rows(g, dim, rng)
    positive, junk = draw(q, g, rng)
    values = all_pair_values(query, gallery, metric)
    want = places(values, positive, junk)
    pieces = cut(gallery, rng)
    for estimate in ESTIMATES:
        got = streamed_ranks(query, pieces, positive, junk, metric, estimate)
        assert got == want, estimate
    assert whole_ranks(query, gallery, positive, junk, metric, "bfloat16") == want
    norms = torch.cat([query, gallery]).double().norm(dim=1)
    if bool(((norms > 1e-17) & (norms < 1e18)).all()):
        value, error = orders(query, gallery, metric)
        error += 1e-36
        assert bool(((values.double() - value).abs() <= error).all())
        check_within(query, gallery, metric, (positive, junk), value, error)


def check_within(query, gallery, metric, masks, value, error):
    """Check that each rank is between the numbers of surely and of possibly nearer images."""
    positive, junk = masks
    with estimated_by("float32"):
        ranks = ops.rank_positives(query, gallery, lists(positive), lists(junk), metric=metric)
    at = 0
    for i in range(len(query)):
        ranked, mine = torch.tensor(~junk[i]), torch.tensor(positive[i])
        low, high = value[i] - error[i], value[i] + error[i]
        count = int(mine.sum())
        surely = (high[ranked][None] < low[mine][:, None]).sum(1).sort().values
        possibly = (low[ranked][None] <= high[mine][:, None]).sum(1).sort().values
        got = ranks[at : at + count]
        assert bool(((surely < got) & (got <= possibly)).all()) and len(got.unique()) == count
        at += count


def labels_of(q, g, rng):
    people = rng.integers(1, 8)
    return {
        "query_ids": rng.integers(0, people, q),
        "gallery_ids": rng.integers(-1, people, g),
        "query_cameras": rng.integers(0, 3, q),
        "gallery_cameras": rng.integers(0, 3, g),
    }


def as_rule(mask, rng):
    """Return a mask as a tensor, an array, nested lists or a function."""
    given = torch.tensor(mask)

    def rule(pairs: Pairs) -> torch.Tensor:
        return given[pairs.query_rows[:, 0]][:, pairs.gallery_rows[0]]

    return [given, mask, mask.tolist(), rule][rng.integers(4)]


@fuzz
@given(
    SEEDS,
    st.integers(1, 25),
    st.integers(1, 120),
    st.sampled_from(METRICS),
    st.sampled_from(PROTOCOLS),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
)
def test_evaluation_matches_a_loop(seed, q, g, metric, protocol, dtype):
    """Compare every protocol, rule, dtype and gallery source with a plain loop."""
    rng = np.random.default_rng(seed)
    dim = rng.choice([4, 16, 64])
    query, gallery = (exact_rows(rng, n, dim, metric, dtype) for n in (q, g))
    d = order_values(query, gallery, metric).numpy()
    labels = labels_of(q, g, rng)
    junk, candidates = rng.random((q, g)) < 0.2, rng.random((q, g)) < 0.7
    given, left_out = {}, np.zeros((q, g), bool)
    if rng.random() < 0.4:
        given["junk"] = as_rule(junk, rng)
        left_out |= junk
    if rng.random() < 0.4:
        given["candidates"] = as_rule(candidates, rng)
        left_out |= ~candidates
    rule = rng.choice(["step", "trapezoid"]).item()
    max_rank = int(rng.integers(1, 60))
    same = same_pairs(labels["query_ids"], labels["gallery_ids"])
    ranked = ranked_pairs(protocol, **labels) & ~left_out
    want = scores(d, same, ranked, trapezoid=rule == "trapezoid", max_rank=max_rank)
    options = labels | given | {"protocol": protocol, "max_rank": max_rank}
    options["average_precision"] = rule
    pieces = [piece for piece in cut(gallery, rng) if len(piece)]
    for call in (
        lambda: evaluate(query, gallery, metric=metric, **options),
        lambda: evaluate(query, pieces, metric=metric, **options),
        lambda: evaluate_distances(d, **options),
    ):
        if want.cmc is None:
            with pytest.raises(ValueError, match=NO_MATCH):
                call()
            continue
        got = call()
        np.testing.assert_allclose(got.cmc, want.cmc)
        np.testing.assert_allclose(got.average_precision, want.average_precision)
        np.testing.assert_allclose(got.inverse_negative_penalty, want.inverse_negative_penalty)
        assert got.num_valid + sum(got.unmatched) == q


@fuzz
@given(SEEDS, st.integers(1, 4), st.integers(1, 9))
def test_single_shot_expectation_matches_all_galleries(seed, q, g):
    """Compare with the mean over all galleries that have one image per identity."""
    rng = np.random.default_rng(seed)
    labels, d = labels_of(q, g, rng), rng.integers(0, 4, (q, g)) * 1.0
    same = same_pairs(labels["query_ids"], labels["gallery_ids"])
    ranked = ranked_pairs("cuhk03-classic", **labels)
    want = single_shot_cmc(d, same, ranked, labels["gallery_ids"], 7)
    options = labels | {"protocol": "cuhk03-classic", "max_rank": 7}
    if want is None:
        with pytest.raises(ValueError, match=NO_MATCH):
            evaluate_distances(d, **options)
        return
    np.testing.assert_allclose(evaluate_distances(d, **options).cmc, want, atol=1e-12)


@fuzz
@given(SEEDS, st.integers(1, 15), st.integers(1, 60), st.sampled_from(PROTOCOLS))
def test_verification_matches_a_sort_of_all_pairs(seed, q, g, protocol):
    """Compare true positive rates at given false positive rates with a sort of all pairs."""
    rng = np.random.default_rng(seed)
    query, gallery = (exact_rows(rng, n, 5, "squared_euclidean", torch.float32) for n in (q, g))
    labels, rates = labels_of(q, g, rng), rng.random(3)
    d = distances(query, gallery, "squared_euclidean").numpy()
    same = same_pairs(labels["query_ids"], labels["gallery_ids"])
    ranked = ranked_pairs(protocol, **labels)
    positive, negative = d[same & ranked], d[~same & ranked]
    options = labels | {"protocol": protocol, "metric": "squared_euclidean"}
    if not len(positive) or not len(negative):
        with pytest.raises(ValueError, match=NO_MATCH):
            verify(query, gallery, **options, false_positive_rates=rates)
        return
    got = verify(query, gallery, **options, false_positive_rates=rates)
    threshold, accepted = verification(positive, negative, rates)
    np.testing.assert_array_equal(got.threshold, threshold)
    np.testing.assert_allclose(got.true_positive_rate, accepted)
