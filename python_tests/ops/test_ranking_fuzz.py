"""Random rankings of every kind against brute force, and every way to rank against the others.

A few seconds as it is; REID_EXT_FUZZ=20000 draws so many problems per test, anew at each run.
"""

import itertools
import os

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ranking_cases import (
    ESTIMATES,
    distances,
    draw,
    estimated_by,
    lists,
    reference,
    streamed_ranks,
    whole_ranks,
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


def exact_rows(n, dim, metric, dtype, rng):
    """Rows whose distances are exact in any order of the sums, and often equal."""
    if metric == "cosine":  # corners; dim is a power of 4, so that lengths are powers of 2
        most = 3 if dtype == torch.float16 else 20
        rows = rng.choice([-1.0, 1.0], (n, dim)) * 2.0 ** rng.integers(-most, most, (n, 1))
    else:
        rows = rng.integers(-2, 3, (n, dim)) + rng.choice([0, 3]) * 1.0
    kinds = rng.integers(1, n + 1) if n else 0
    rows = rows[rng.integers(0, kinds, n)] if kinds and rng.random() < 0.5 else rows
    rows[rng.random(n) < 0.1] = 0
    return torch.tensor(rows).to(dtype)


def near_rows(n, dim, rng):
    """Rows of all lengths, many of them a few last bits apart or alike but for their length."""
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
def test_exact_distances(seed, q, g, metric, data):
    """Brute force in float64 = all at once = in blocks, in full and by bfloat16."""
    rng = np.random.default_rng(seed)
    dims = [1, 4, 16, 64, 256] if metric == "cosine" else [1, 2, 7, 33, 64, 600]
    dim = data.draw(st.sampled_from(dims))
    dtype = data.draw(st.sampled_from([torch.float32] * 3 + [torch.float64, torch.bfloat16]))
    query, gallery = (exact_rows(n, dim, metric, dtype, rng) for n in (q, g))
    d = distances(query, gallery, metric)
    for row in np.flatnonzero(rng.random(g) < 0.03):
        gallery[row, rng.integers(dim)] = float(rng.choice([np.nan, np.inf, -np.inf]))
        d[:, row] = torch.nan
    for row in np.flatnonzero(rng.random(q) < 0.1):
        query[row, rng.integers(dim)] = float(rng.choice([np.nan, np.inf]))
        d[row] = torch.nan
    positive, junk = draw(q, g, rng)
    want = reference(d, positive, junk)
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
    """What a metric orders by, in float64, and how far any rounding in float32 may move it."""
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
def test_near_ties(seed, q, g, metric, data):
    """A stable sort by pair_values = in blocks, in full and by bfloat16; near float64."""
    rng = np.random.default_rng(seed)
    dim = data.draw(st.sampled_from([1, 2, 31, 32, 33, 64, 100, 257]))
    query, gallery = near_rows(q, dim, rng), near_rows(g, dim, rng)
    positive, junk = draw(q, g, rng)
    values = all_pair_values(query, gallery, metric)
    want = reference(values, positive, junk)
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
    """rank_positives lies between the images surely and possibly before a positive."""
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


def plain_ranking(d, labels, protocol, left_out, trapezoid, max_rank):
    """CMC, AP and INP by a loop over queries with a sort each, as the protocols are written."""
    cmc, ap, inp = [], [], []
    for i in range(len(d)):
        same = labels["gallery_ids"] == labels["query_ids"][i]
        ranked = ~left_out[i]
        if protocol == "market1501":
            ranked &= labels["gallery_ids"] != -1
        if protocol != "generic":
            ranked &= ~(same & (labels["gallery_cameras"] == labels["query_cameras"][i]))
        order = np.flatnonzero(ranked)[np.argsort(d[i][ranked], kind="stable")]
        place = np.flatnonzero(same[order]) + 1
        if len(place) == 0:
            ap.append(np.nan), inp.append(np.nan)
            continue
        number = np.arange(1, len(place) + 1)
        precision = number / place
        if trapezoid:
            before = np.where(place == 1, 1, (number - 1) / np.maximum(place - 1, 1))
            precision = (precision + before) / 2
        cmc.append(np.arange(1, max_rank + 1) >= place[0])
        ap.append(precision.mean())
        inp.append(len(place) / place[-1])
    return (np.mean(cmc, 0) if cmc else None), np.array(ap), np.array(inp)


def as_rule(mask, rng):
    """A mask as the user may give it: tensor, array, lists, function."""
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
def test_evaluation(seed, q, g, metric, protocol, dtype):
    """Every protocol, rule, dtype and source of a gallery, against a plain loop."""
    rng = np.random.default_rng(seed)
    dim = rng.choice([4, 16, 64])
    query, gallery = (exact_rows(n, dim, metric, dtype, rng) for n in (q, g))
    d = distances(query, gallery, metric).numpy()
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
    want = plain_ranking(d, labels, protocol, left_out, rule == "trapezoid", max_rank)
    options = labels | given | {"protocol": protocol, "max_rank": max_rank}
    options["average_precision"] = rule
    pieces = [piece for piece in cut(gallery, rng) if len(piece)]
    for call in (
        lambda: evaluate(query, gallery, metric=metric, **options),
        lambda: evaluate(query, pieces, metric=metric, **options),
        lambda: evaluate_distances(d, **options),
    ):
        if want[0] is None:
            with pytest.raises(ValueError, match=NO_MATCH):
                call()
            continue
        got = call()
        np.testing.assert_allclose(got.cmc, want[0])
        np.testing.assert_allclose(got.average_precision, want[1])
        np.testing.assert_allclose(got.inverse_negative_penalty, want[2])
        assert got.num_valid + sum(got.unmatched) == q


@fuzz
@given(SEEDS, st.integers(1, 4), st.integers(1, 9))
def test_single_shot_expectation(seed, q, g):
    """The mean over every gallery of one image per identity, one after the other."""
    rng = np.random.default_rng(seed)
    labels, d = labels_of(q, g, rng), rng.integers(0, 4, (q, g)) * 1.0
    curves = []
    for i in range(q):
        same = labels["gallery_ids"] == labels["query_ids"][i]
        ranked = ~(same & (labels["gallery_cameras"] == labels["query_cameras"][i]))
        order = np.flatnonzero(ranked)[np.argsort(d[i][ranked], kind="stable")]
        if not same[order].any():
            continue
        people = labels["gallery_ids"][order]
        shown = itertools.product(*(np.flatnonzero(people == p) for p in np.unique(people)))
        places = [np.flatnonzero(same[order][sorted(places)])[0] + 1 for places in shown]
        curves.append([np.mean(np.array(places) <= k) for k in range(1, 8)])
    options = labels | {"protocol": "cuhk03-classic", "max_rank": 7}
    if not curves:
        with pytest.raises(ValueError, match=NO_MATCH):
            evaluate_distances(d, **options)
        return
    np.testing.assert_allclose(evaluate_distances(d, **options).cmc, np.mean(curves, 0), atol=1e-12)


@fuzz
@given(SEEDS, st.integers(1, 15), st.integers(1, 60), st.sampled_from(PROTOCOLS))
def test_verification(seed, q, g, protocol):
    """True positive rates at false ones, against sorting all pairs."""
    rng = np.random.default_rng(seed)
    query, gallery = (exact_rows(n, 5, "squared_euclidean", torch.float32, rng) for n in (q, g))
    labels, rates = labels_of(q, g, rng), rng.random(3)
    d = ((query[:, None] - gallery) ** 2).sum(2).numpy()
    same = labels["query_ids"][:, None] == labels["gallery_ids"]
    camera = labels["query_cameras"][:, None] == labels["gallery_cameras"]
    positive = same & ~camera if protocol != "generic" else same
    negative = ~same & ((labels["gallery_ids"] != -1) | (protocol != "market1501"))
    options = labels | {"protocol": protocol, "metric": "squared_euclidean"}
    if not positive.any() or not negative.any():
        with pytest.raises(ValueError, match=NO_MATCH):
            verify(query, gallery, **options, false_positive_rates=rates)
        return
    got = verify(query, gallery, **options, false_positive_rates=rates)
    nearest = np.sort(d[negative])
    threshold = nearest[np.minimum((rates * len(nearest)).astype(int), len(nearest) - 1)]
    np.testing.assert_array_equal(got.threshold, threshold)
    accepted = (d[positive][:, None] < threshold).mean(0)
    np.testing.assert_allclose(got.true_positive_rate, accepted)
