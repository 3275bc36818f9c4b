"""Rankings of every protocol, against a sort of exact distances as the protocols are written.

One ranking is one query against one gallery through one way to call. Features are small whole
numbers (for cosine corners of a cube), so distances are exact in any order of the sums, and often
equal: ranks have to agree to the last one.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from part import Budget, Failures, Row, smallest

from reid_ext.evaluation import (
    Ranking,
    evaluate,
    evaluate_distances,
    evaluate_regdb,
    evaluate_sysu,
    select_galleries,
)

METRICS = ("cosine", "euclidean", "squared_euclidean")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
PROTOCOLS = ("market1501", "dukemtmc-reid", "cuhk03-np", "msmt17", "veri776", "generic")
NO_MATCH = ("share", "leave", "differ")  # what an error says where no query has a match


class Problem(NamedTuple):
    """Features exact in their dtype, float64 distances, labels."""

    query: torch.Tensor
    gallery: torch.Tensor
    distances: np.ndarray
    labels: dict[str, np.ndarray]
    metric: str


def attack(budget: Budget) -> Iterator[Row]:
    """Rank until the number or the time is up."""
    torch.set_num_threads(1)
    for name, one, share in (("protocols", check_protocol, 0.8), ("sysu-mm01", check_sysu, 0.2)):
        wanted = int(budget.amount(20_000, 1_000_000) * share)
        done, failures = 0, Failures()
        for number, rng in budget.share(share).numbers(1 << 40):
            done += _one(one, budget.seed, number, rng, failures)
            if done >= wanted:
                break
        yield Row(f"rankings, {name}, against float64", done, failures.lines())


def _one(
    check: Callable[..., int], seed: int, number: int, rng: np.random.Generator, failures: Failures
) -> int:
    sizes = {
        "queries": int(rng.choice([1, 2, 17, 60, 150])),
        "images": int(
            rng.choice([1, 2, 33, 100, 300, 1000, 5000], p=[0.1, 0.1, 0.2, 0.3, 0.2, 0.08, 0.02])
        ),
        "dim": int(rng.choice([1, 4, 16, 64])),
    }

    def run(of: dict[str, int]) -> int:
        return check(np.random.default_rng([seed, number, 1]), of)

    def fails(of: dict[str, int]) -> bool:
        try:
            run(of)
        except Exception:
            return True
        return False

    try:
        return run(sizes)
    except Exception as error:
        least = smallest(sizes, fails)
        failures.add(f"{check.__name__}, seed [{seed}, {number}, 1], {least}: {error!r:.300}")
        return 0


def exact_rows(rng: np.random.Generator, n: int, dim: int, metric: str, dtype: torch.dtype):
    """Rows whose distances are exact, some of them equal and some zero, however they lie."""
    if metric == "cosine":  # dim is a power of 4, so lengths are powers of 2
        most = 3 if dtype == torch.float16 else 20
        rows = rng.choice([-1.0, 1.0], (n, dim)) * 2.0 ** rng.integers(-most, most, (n, 1))
    else:
        rows = rng.integers(-2, 3, (n, dim)) + rng.choice([0, 3]) * 1.0
    if n and rng.random() < 0.5:
        rows = rows[rng.integers(0, rng.integers(1, n + 1), n)]
    rows[rng.random(n) < 0.05] = 0
    return torch.tensor(rows).to(dtype)


def laid_out(rng: np.random.Generator, x: torch.Tensor) -> Any:
    """The same values: contiguous, with gaps, transposed, or as an array with negative strides."""
    how = rng.integers(5)
    if how == 1:
        return torch.stack([x, x + 1], 2)[:, :, 0]
    if how == 2:
        return x.T.contiguous().T
    if how == 3 and x.dtype != torch.bfloat16:
        return x.numpy()[::-1].copy()[::-1]
    if how == 4:
        return torch.cat([x, x], 1)[:, : x.shape[1]]
    return x


def problem(rng: np.random.Generator, sizes: dict[str, int]) -> Problem:
    """Features and labels of these sizes."""
    q, g, dim = max(1, sizes["queries"]), max(1, sizes["images"]), 4 ** (sizes["dim"] // 20 + 1)
    metric = METRICS[rng.integers(3)]
    dim = dim if metric == "cosine" else max(1, sizes["dim"])
    dtype = DTYPES[rng.integers(4)]
    query, gallery = (exact_rows(rng, n, dim, metric, dtype) for n in (q, g))
    x, y = query.double().numpy(), gallery.double().numpy()
    if metric == "cosine":
        norm = np.linalg.norm(y, axis=1)
        d = -(x @ y.T) / np.where(norm == 0, 1, norm)
    else:  # whole numbers below 2**53: exact by a product too
        d = (x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * x @ y.T
    people = rng.integers(1, 40)
    labels = {
        "query_ids": rng.integers(0, people, q),
        "gallery_ids": rng.integers(-1, people, g),
        "query_cameras": rng.integers(0, 4, q),
        "gallery_cameras": rng.integers(0, 4, g),
    }
    return Problem(query, gallery, d, labels, metric)


class Wanted(NamedTuple):
    """CMC, and of every query AP and INP, NaN without a match."""

    cmc: np.ndarray
    ap: np.ndarray
    inp: np.ndarray


def by_sorting(
    d: np.ndarray, same: np.ndarray, ranked: np.ndarray, trapezoid: bool, max_rank: int
) -> Wanted | None:
    """The definitions: sort each row, junk taken out, and look where the matches are."""
    order = np.argsort(d, axis=1, kind="stable")
    stays = np.take_along_axis(ranked, order, 1)
    hit = np.take_along_axis(same, order, 1) & stays
    place = np.cumsum(stays, 1)
    number = np.cumsum(hit, 1)
    matches = number[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = number / place
        if trapezoid:
            before = np.where(place == 1, 1, (number - 1) / np.maximum(place - 1, 1))
            precision = (precision + before) / 2
        ap = np.where(hit, precision, 0).sum(1) / matches
        inp = matches / np.where(hit, place, 0).max(1)
    if not matches.any():
        return None
    first = np.where(hit, place, 1 << 60).min(1)[matches > 0]
    return Wanted((first[:, None] <= np.arange(1, max_rank + 1)).mean(0), ap, inp)


def compare(got: Ranking, want: Wanted, how: str) -> None:
    """AssertionError where they differ by more than the sum of float64 means."""
    for name, a, b in (
        ("cmc", got.cmc, want.cmc),
        ("average_precision", got.average_precision, want.ap),
        ("inverse_negative_penalty", got.inverse_negative_penalty, want.inp),
    ):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-12, err_msg=f"{name}, {how}")


def check_protocol(rng: np.random.Generator, sizes: dict[str, int]) -> int:
    """A random protocol, rule and way to give the gallery; returns the rankings made."""
    p = problem(rng, sizes)
    protocol = PROTOCOLS[rng.integers(6)]
    q, g = p.distances.shape
    same = p.labels["query_ids"][:, None] == p.labels["gallery_ids"]
    camera = p.labels["query_cameras"][:, None] == p.labels["gallery_cameras"]
    ranked = np.ones((q, g), bool)
    if protocol == "market1501":
        ranked &= p.labels["gallery_ids"] != -1
    if protocol != "generic":
        ranked &= ~(same & camera)
    options: dict[str, Any] = {**p.labels, "protocol": protocol}
    if rng.random() < 0.3:
        options["junk"] = rng.random((q, g)) < 0.2
        ranked &= ~options["junk"]
    options["average_precision"] = "trapezoid" if rng.random() < 0.5 else "step"
    options["max_rank"] = int(rng.integers(1, 60))
    trapezoid = options["average_precision"] == "trapezoid"
    want = by_sorting(p.distances, same, ranked, trapezoid, options["max_rank"])
    query, gallery = laid_out(rng, p.query), laid_out(rng, p.gallery)
    cut = sorted(rng.integers(0, g + 1, 2).tolist())
    pieces = [piece for piece in p.gallery.tensor_split(cut) if len(piece)]
    ways = {
        "whole": lambda: evaluate(query, gallery, metric=p.metric, **options),
        "blocks": lambda: evaluate(p.query, pieces, metric=p.metric, **options),
        "distances": lambda: evaluate_distances(p.distances, **options),
    }
    if protocol == "generic" and "junk" not in options:
        given = {k: v for k, v in options.items() if k.endswith("_ids") or k == "max_rank"}
        given["average_precision"] = options["average_precision"]
        ways["regdb"] = lambda: evaluate_regdb(query, gallery, metric=p.metric, **given)
    for how, call in ways.items():
        agree(call, want, how)
    return q * len(ways)


def agree(call: Callable[[], Ranking], want: Wanted | None, how: str) -> None:
    """The ranking is as wanted, or refused where no query has a match."""
    if want is not None:
        compare(call(), want, how)
        return
    try:
        call()
    except ValueError as error:
        assert any(word in str(error) for word in NO_MATCH), error
    else:
        raise AssertionError(f"no query has a match, but {how} gave a ranking")


def check_sysu(rng: np.random.Generator, sizes: dict[str, int]) -> int:
    """Every trial of SYSU-MM01, with both readings of its CMC."""
    sizes = {**sizes, "queries": min(60, sizes["queries"]), "images": min(400, sizes["images"])}
    p = problem(rng, sizes)
    q, g = p.distances.shape
    labels = {
        "query_ids": p.labels["query_ids"],
        "gallery_ids": np.abs(p.labels["gallery_ids"]),
        "query_cameras": rng.choice([3, 6], q),
        "gallery_cameras": rng.choice([1, 2, 4, 5], g),
    }
    labels["gallery_cameras"][rng.integers(g)] = 1
    draw = {
        "mode": ["all", "indoor"][rng.integers(2)],
        "shots": [1, 10][rng.integers(2)],
        "trials": 2,
        "seed": int(rng.integers(100)),
    }
    chosen = select_galleries(labels["gallery_ids"], labels["gallery_cameras"], **draw)
    wants = {
        cmc: [_of_trial(p, labels, rows, cmc == "official") for rows in chosen]
        for cmc in ("official", "per_image")
    }
    query, gallery = p.query, laid_out(rng, p.gallery)
    for cmc, want in wants.items():

        def call(cmc: str = cmc) -> Ranking:
            return evaluate_sysu(
                query, gallery, **labels, **draw, cmc=cmc, metric=p.metric, max_rank=20
            )

        if None in want:
            agree(call, None, cmc)
            continue
        for got, of_trial in zip(call().trials, want, strict=True):
            compare(got, of_trial, cmc)
    return q * len(wants) * len(chosen)


def _of_trial(
    p: Problem, labels: dict[str, np.ndarray], rows: np.ndarray, official: bool
) -> Wanted | None:
    """Camera 3 ranks no image of camera 2; officially a person counts once in the CMC."""
    ids, cameras = labels["gallery_ids"][rows], labels["gallery_cameras"][rows]
    d = p.distances[:, rows]
    ranked = ~((labels["query_cameras"] == 3)[:, None] & (cameras == 2))
    same = labels["query_ids"][:, None] == ids
    want = by_sorting(d, same, ranked, False, 20)
    if want is None or not official:
        return want
    places = []
    for i in np.flatnonzero((same & ranked).any(1)):
        order = np.flatnonzero(ranked[i])[np.argsort(d[i][ranked[i]], kind="stable")]
        before = order[: np.flatnonzero(same[i][order])[0]]
        places.append(len(np.unique(ids[before])) + 1)
    return want._replace(cmc=(np.array(places)[:, None] <= np.arange(1, 21)).mean(0))
