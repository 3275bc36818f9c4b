"""Compares re-ranked distances with the papers' formulas as dense float64 matrices.

The methods are k-reciprocal encoding (Zhong et al. 2017, section 3) from features and from given
matrices, in full and for the nearest images only, query expansion (Radenovic et al. 2018), database
augmentation (Arandjelovic and Zisserman 2012), and the sparse Jaccard distances for clustering. The
features are small integers, so that distances tie often and the neighbours do not depend on the
precision.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from part import Budget, Failures, Row, attempt
from reference import reranking
from reference.distances import distances, unit

from reid_ext import compat, ops, rerank

LARGE = 100  # every 100th problem has hundreds of images
NEAR = {torch.float64: 1e-6, torch.float32: 2e-5}


def attack(budget: Budget) -> Iterator[Row]:
    """Check re-rankings until their number or the time is reached."""
    torch.set_num_threads(1)
    for name, check in CHECKS.items():
        wanted = budget.amount(800, 10_000) // len(CHECKS)
        done, failures = 0, Failures()
        for number, rng in budget.share(1 / len(CHECKS)).numbers(1 << 40):
            done += _one(check, [budget.seed, len(name), number], rng, failures)
            if done >= wanted:
                break
        yield Row(f"re-rankings, {name}, against float64", done, failures.lines())


def _one(
    check: Callable[..., bool], seed: list[int], rng: np.random.Generator, failures: Failures
) -> bool:
    """Check one problem; return False if it had nothing to rank."""
    sizes = {"queries": int(rng.integers(1, 20)), "images": int(rng.integers(2, 70))}
    if seed[-1] % LARGE == LARGE - 1:
        sizes = {"queries": int(rng.integers(1, 60)), "images": int(rng.integers(2, 600))}

    def of_sizes(rng: np.random.Generator, of: dict[str, int]) -> bool:
        return check(rng, of["queries"], of["images"])

    return attempt(of_sizes, [*seed, 1], sizes, failures, {"queries": 1, "images": 2})


def whole(rng: np.random.Generator, n: int) -> torch.Tensor:
    """Small integers of shape (n, 6); some rows are equal."""
    x = rng.integers(-2, 3, (n, 6)) * 1.0
    if rng.random() < 0.5:
        x = x[rng.integers(0, rng.integers(1, n + 1), n)]
    return torch.tensor(x)


def numbers(rng: np.random.Generator, n: int) -> dict[str, float]:
    k1 = int(rng.integers(1, min(n - 1, 25) + 1))
    return {"k1": k1, "k2": int(rng.integers(1, 9)), "lambda_value": float(rng.random())}


def near(got: torch.Tensor, want: torch.Tensor, what: str) -> None:
    atol = NEAR[got.dtype]
    torch.testing.assert_close(got.double(), want, rtol=0, atol=atol, msg=lambda m: f"{what}: {m}")


def check_features(rng: np.random.Generator, q: int, g: int) -> bool:
    """k-reciprocal re-ranking of features: all distances, and the nearest images only."""
    x, options = whole(rng, q + g), numbers(rng, q + g)
    metric = ["euclidean", "squared_euclidean"][rng.integers(2)]
    d = distances(x, x, metric)
    if not bool((d.amax(1) > 0).all()):
        return False  # an image coincides with all others, so its row cannot be normalised
    want = reranking.k_reciprocal(d, q, **options)
    given = x.to(list(NEAR)[rng.integers(2)])
    what = f"{options}, {metric}, {given.dtype}"
    got = rerank(given[:q], given[q:], metric=metric, **options)
    near(got, want, what)
    top = int(rng.integers(1, g + 1))
    nearest = rerank(given[:q], given[q:], metric=metric, top=top, **options)
    ordered = got.sort(dim=1, stable=True)
    torch.testing.assert_close(nearest.distances, ordered.values[:, :top], msg=f"top, {what}")
    torch.testing.assert_close(nearest.indices, ordered.indices[:, :top], msg=f"top, {what}")
    return True


def check_matrices(rng: np.random.Generator, q: int, g: int) -> bool:
    """k-reciprocal re-ranking of given distance matrices, as in Zhong's function."""
    n, options = q + g, numbers(rng, q + g)
    d = torch.tensor(rng.integers(0, rng.choice([3, 1000]), (n, n)) * 1.0)
    d = d + d.T
    d.fill_diagonal_(0)
    if not bool((d.amax(1) > 0).all()):
        return False
    want = reranking.k_reciprocal(d, q, **options)
    given = d.to(list(NEAR)[rng.integers(2)])
    parts = given[:q, q:], given[:q, :q], given[q:, q:]
    near(ops.k_reciprocal_from_distances(*parts, **options), want, f"{options}, {given.dtype}")
    arrays = compat.re_ranking(*(p.numpy() for p in parts), **options)
    near(torch.as_tensor(arrays), want, f"compat, {options}")
    return True


def check_expansion(rng: np.random.Generator, q: int, g: int) -> bool:
    """Query expansion and database augmentation."""
    x = unit(torch.tensor(rng.standard_normal((q + g, 5))))
    k2, alpha = int(rng.integers(1, min(g, 8) + 1)), float(rng.choice([0, 1, 3]))
    method = ["aqe", "dba"][rng.integers(2)]
    want = distances(*reranking.expanded(x[:q], x[q:], method, k2, alpha), "cosine")
    got = rerank(x[:q], x[q:], method=method, k2=k2, alpha=alpha, metric="cosine")
    near(got, want, f"{method}, k2 {k2}, alpha {alpha}")
    return True


def check_jaccard(rng: np.random.Generator, q: int, g: int) -> bool:
    """Jaccard distances between all images, by the conventions of clustering and re-ranking."""
    x, n = whole(rng, q + g), q + g
    clustering = bool(rng.random() < 0.5)
    k1, k2 = int(rng.integers(1, min(n - 1, 20) + 1)), int(rng.integers(1, 6))
    if not bool((distances(x, x).amax(1) > 0).all()):
        return False
    want = reranking.jaccard(x, k1, k2, clustering)
    got = ops.jaccard(x, k1=k1, k2=k2, clustering=clustering)
    dense = torch.ones_like(want)
    row = torch.repeat_interleave(got.offsets.diff())
    dense[row, got.indices] = got.values
    near(dense, want, f"k1 {k1}, k2 {k2}, clustering {clustering}")
    return True


CHECKS: dict[str, Callable[..., bool]] = {
    "features": check_features,
    "given distances": check_matrices,
    "expansion": check_expansion,
    "Jaccard": check_jaccard,
}
