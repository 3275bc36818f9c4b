"""Compares rankings of every protocol with a stable sort of exact distances.

One ranking is one query ranked against one gallery by one public function. The features are small
integers (corners of a cube for the cosine). Their distances are exact for every order of summation
and often equal, so all ranks must agree.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from part import Budget, Failures, Row, attempt
from reference.distances import order_values
from reference.exact import exact_rows
from reference.ranking import Scores, ranked_pairs, same_pairs, scores, sysu_ranked_pairs

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
NO_MATCH = (
    "share",
    "leave",
    "differ",
)  # words of the errors that are raised if no query has a match


class Problem(NamedTuple):
    """Features that are exact in their dtype, their float64 distances, and labels."""

    query: torch.Tensor
    gallery: torch.Tensor
    distances: np.ndarray
    labels: dict[str, np.ndarray]
    metric: str


def attack(budget: Budget) -> Iterator[Row]:
    """Check rankings until their number or the time is reached."""
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

    return attempt(check, [seed, number, 1], sizes, failures)


def laid_out(rng: np.random.Generator, x: torch.Tensor) -> Any:
    """The same values, contiguous, strided, transposed, or as an array with negative strides."""
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
    d = order_values(query, gallery, metric).numpy()
    identities = rng.integers(1, 40)
    labels = {
        "query_ids": rng.integers(0, identities, q),
        "gallery_ids": rng.integers(-1, identities, g),
        "query_cameras": rng.integers(0, 4, q),
        "gallery_cameras": rng.integers(0, 4, g),
    }
    return Problem(query, gallery, d, labels, metric)


def compare(got: Ranking, want: Scores, how: str) -> None:
    """Raise AssertionError if they differ by more than the rounding of float64 means."""
    for name, a, b in (
        ("cmc", got.cmc, want.cmc),
        ("average_precision", got.average_precision, want.average_precision),
        (
            "inverse_negative_penalty",
            got.inverse_negative_penalty,
            want.inverse_negative_penalty,
        ),
    ):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-12, err_msg=f"{name}, {how}")


def check_protocol(rng: np.random.Generator, sizes: dict[str, int]) -> int:
    """Check a random protocol with random rules; return the number of rankings."""
    p = problem(rng, sizes)
    protocol = PROTOCOLS[rng.integers(6)]
    q, g = p.distances.shape
    same = same_pairs(p.labels["query_ids"], p.labels["gallery_ids"])
    ranked = ranked_pairs(protocol, **p.labels)
    options: dict[str, Any] = {**p.labels, "protocol": protocol}
    if rng.random() < 0.3:
        options["junk"] = rng.random((q, g)) < 0.2
        ranked &= ~options["junk"]
    options["average_precision"] = "trapezoid" if rng.random() < 0.5 else "step"
    options["max_rank"] = int(rng.integers(1, 60))
    trapezoid = options["average_precision"] == "trapezoid"
    counting = {"trapezoid": trapezoid, "max_rank": options["max_rank"]}
    want = scores(p.distances, same, ranked, **counting)
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


def agree(call: Callable[[], Ranking], want: Scores, how: str) -> None:
    """Check that the ranking is as expected, or that an error is raised if no query has a match."""
    if want.cmc is not None:
        compare(call(), want, how)
        return
    try:
        call()
    except ValueError as error:
        assert any(word in str(error) for word in NO_MATCH), error
    else:
        raise AssertionError(f"no query has a match, but {how} returned a ranking")


def check_sysu(rng: np.random.Generator, sizes: dict[str, int]) -> int:
    """Check every trial of SYSU-MM01 with both definitions of the CMC."""
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

        if refused := [trial for trial in want if trial.cmc is None]:
            agree(call, refused[0], cmc)
            continue
        for got, of_trial in zip(call().trials, want, strict=True):
            compare(got, of_trial, cmc)
    return q * len(wants) * len(chosen)


def _of_trial(
    p: Problem, labels: dict[str, np.ndarray], rows: np.ndarray, official: bool
) -> Scores:
    """The reference for one gallery of SYSU-MM01; the official CMC counts each identity once."""
    ids, cameras = labels["gallery_ids"][rows], labels["gallery_cameras"][rows]
    return scores(
        p.distances[:, rows],
        same_pairs(labels["query_ids"], ids),
        sysu_ranked_pairs(labels["query_cameras"], cameras),
        max_rank=20,
        distinct_ids=ids if official else None,
    )
