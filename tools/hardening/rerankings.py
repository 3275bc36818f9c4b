"""Re-ranked distances, against section 3 of the papers as dense float64 matrices.

k-reciprocal (Zhong et al. 2017) from features and from given matrices, in full and the nearest
alone, query expansion (Radenovic et al. 2018), database augmentation (Arandjelovic and Zisserman
2012), and the sparse Jaccard distances for clustering. Features are small whole numbers, so that
distances tie often and neighbours are the same in any precision.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from part import Budget, Failures, Row, smallest
from torch.nn import functional as F

from reid_ext import compat, ops, rerank

LARGE = 100  # every so manieth problem has hundreds of images
NEAR = {torch.float64: 1e-6, torch.float32: 2e-5}


def attack(budget: Budget) -> Iterator[Row]:
    """Re-rank until the number or the time is up."""
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
    """Whether there was something to rank."""
    sizes = {"queries": int(rng.integers(1, 20)), "images": int(rng.integers(2, 70))}
    if seed[-1] % LARGE == LARGE - 1:
        sizes = {"queries": int(rng.integers(1, 60)), "images": int(rng.integers(2, 600))}

    def fails(of: dict[str, int]) -> bool:
        try:
            check(np.random.default_rng([*seed, 1]), max(1, of["queries"]), max(2, of["images"]))
        except Exception:
            return True
        return False

    try:
        return check(np.random.default_rng([*seed, 1]), sizes["queries"], sizes["images"])
    except Exception as error:
        failures.add(f"seed {[*seed, 1]}, {smallest(sizes, fails)}: {str(error)!r:.400}")
        return True


def whole(rng: np.random.Generator, n: int) -> torch.Tensor:
    """(n, 6) small whole numbers, some rows alike; no two classes of length for cosine."""
    x = rng.integers(-2, 3, (n, 6)) * 1.0
    if rng.random() < 0.5:
        x = x[rng.integers(0, rng.integers(1, n + 1), n)]
    return torch.tensor(x)


def squared(x: torch.Tensor) -> torch.Tensor:
    return (x[:, None] - x).square().sum(2)


def encoded(p: torch.Tensor, order: torch.Tensor, k1: int, k2: int, half: int) -> torch.Tensor:
    """V: exp(-p) on the expanded reciprocal sets, rows of sum 1, averaged over the k2 nearest."""
    n = len(p)

    def reciprocal(k: int) -> torch.Tensor:
        forward = torch.zeros(n, n, dtype=torch.bool).scatter_(1, order[:, : k + 1], True)
        return forward & forward.T

    wide, narrow = reciprocal(k1), reciprocal(half).double()  # 0 and 1: sums are exact
    shared = wide.double() @ narrow.T
    taken = wide & (3 * shared > 2 * narrow.sum(1))
    members = wide | (taken.double() @ narrow > 0)
    v = torch.exp(-p) * members
    v = v / v.sum(1, keepdim=True).clamp(min=1e-300)
    return v if k2 == 1 else v[order[:, :k2]].mean(1)


def in_common(v: torch.Tensor, rows: int) -> torch.Tensor:
    """Of the first rows with all: the sum of the smaller of the two in each column."""
    return torch.stack([torch.minimum(v[i], v).sum(1) for i in range(rows)])


def re_ranked(d: torch.Tensor, q: int, k1: int, k2: int, lambda_value: float) -> torch.Tensor:
    """From the matrix that the released code squares; a row that is all 0 stays so."""
    largest = d.amax(1, keepdim=True)
    p = (d / torch.where(largest == 0, 1, largest)) ** 2
    v = encoded(p, p.argsort(dim=1, stable=True), k1, k2, round(k1 / 2))
    shared = in_common(v, q)
    return ((1 - lambda_value) * (1 - shared / (2 - shared)) + lambda_value * p[:q])[:, q:]


def numbers(rng: np.random.Generator, n: int) -> dict[str, float]:
    k1 = int(rng.integers(1, min(n - 1, 25) + 1))
    return {"k1": k1, "k2": int(rng.integers(1, 9)), "lambda_value": float(rng.random())}


def near(got: torch.Tensor, want: torch.Tensor, what: str) -> None:
    atol = NEAR[got.dtype]
    torch.testing.assert_close(got.double(), want, rtol=0, atol=atol, msg=lambda m: f"{what}: {m}")


def check_features(rng: np.random.Generator, q: int, g: int) -> bool:
    """From features, all distances and the nearest alone."""
    x, options = whole(rng, q + g), numbers(rng, q + g)
    metric = ["euclidean", "squared_euclidean"][rng.integers(2)]
    d = squared(x) if metric == "squared_euclidean" else squared(x).sqrt()
    if not bool((d.amax(1) > 0).all()):
        return False  # all images are one: nothing to divide by, and nothing to rank
    want = re_ranked(d, q, **options)
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
    """From given distances, as Zhong's function takes them."""
    n, options = q + g, numbers(rng, q + g)
    d = torch.tensor(rng.integers(0, rng.choice([3, 1000]), (n, n)) * 1.0)
    d = d + d.T
    d.fill_diagonal_(0)
    if not bool((d.amax(1) > 0).all()):
        return False
    want = re_ranked(d, q, **options)
    given = d.to(list(NEAR)[rng.integers(2)])
    parts = given[:q, q:], given[:q, :q], given[q:, q:]
    near(ops.k_reciprocal_from_distances(*parts, **options), want, f"{options}, {given.dtype}")
    arrays = compat.re_ranking(*(p.numpy() for p in parts), **options)
    near(torch.as_tensor(arrays), want, f"compat, {options}")
    return True


def check_expansion(rng: np.random.Generator, q: int, g: int) -> bool:
    """Queries, or the gallery, summed with their nearest."""
    x = F.normalize(torch.tensor(rng.standard_normal((q + g, 5))))
    k2, alpha = int(rng.integers(1, min(g, 8) + 1)), float(rng.choice([0, 1, 3]))
    method = ["aqe", "dba"][rng.integers(2)]
    x, y = x[:q], x[q:]
    rows, count = (x, k2 - 1) if method == "aqe" else (y, k2)
    total = rows.clone() if method == "aqe" else torch.zeros_like(rows)
    for i, cosine in enumerate(rows @ y.T):
        for j in cosine.argsort(descending=True)[:count].tolist():
            total[i] += max(float(cosine[j]), 0.0) ** alpha * y[j]
    total = F.normalize(total)
    want = 1 - (total @ y.T if method == "aqe" else x @ total.T)
    got = rerank(x, y, method=method, k2=k2, alpha=alpha, metric="cosine")
    near(got, want, f"{method}, k2 {k2}, alpha {alpha}")
    return True


def check_jaccard(rng: np.random.Generator, q: int, g: int) -> bool:
    """Between all images, for clustering as released and as for re-ranking."""
    x, n = whole(rng, q + g), q + g
    clustering = bool(rng.random() < 0.5)
    k1, k2 = int(rng.integers(1, min(n - 1, 20) + 1)), int(rng.integers(1, 6))
    d = squared(x)
    if not bool((d.amax(1) > 0).all()):
        return False
    order = d.argsort(dim=1, stable=True)
    if clustering:  # only the k1 nearest are ever looked at, the image itself among them
        v = encoded(d, order[:, :k1], k1, k2, round(k1 / 2))
    else:
        v = encoded((d / d.amax(1, keepdim=True)) ** 2, order, k1, k2, round(k1 / 2))
    shared = in_common(v, n)
    want = 1 - shared / (2 - shared)
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
