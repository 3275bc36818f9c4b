"""What a report shows besides the ranking: angles of pairs, nearest images, a map."""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from reid_ext.report.run import Run, column

ANGLE_BINS = 90  # of two degrees
MOST_QUERIES = 500  # whose pairs are counted
MOST_POINTS = 1_000  # of a map
COLORED = 7  # identities of a map, the colours there are

RIGHT, WRONG, JUNK = "right", "wrong", "junk"


class Angles(NamedTuple):
    """Pairs by angle, shares (ANGLE_BINS,) that sum to 1, and the median angle in degrees."""

    positive: np.ndarray
    negative: np.ndarray
    positive_median: float
    negative_median: float
    queries: int


class Listed(NamedTuple):
    """One gallery image of a ranked list."""

    row: int  # of the gallery set, or of the query set where the gallery is drawn from it
    distance: float
    verdict: str  # RIGHT, WRONG or JUNK


class Map(NamedTuple):
    """Images on a plane (N, 2), the share of the variance that it keeps, and who is who."""

    xy: np.ndarray
    kept: float
    is_query: np.ndarray  # (N,) bool
    color: np.ndarray  # (N,) index of an identity; -1: another one
    identities: list[int]  # those with a colour


def evenly(count: int, most: int) -> np.ndarray:
    """At most so many of 0..count-1, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def angles(run: Run) -> Angles:
    """Angles between features of one identity and of two, without what is left out as junk."""
    rows = evenly(len(run.sides[0]), MOST_QUERIES)
    counts = np.zeros((2, ANGLE_BINS))
    for some, angle in run.angles(rows):
        known = ~np.isnan(angle)  # NaN where a feature is not finite; such an image ranks last
        angle = np.where(known, angle, 0)
        bins = np.minimum((angle * (ANGLE_BINS / np.pi)).astype(np.int64), ANGLE_BINS - 1)
        same, ranked = run.same_identity(some), ~run.left_out(some) & known
        for kind, pairs in enumerate((same & ranked, ~same & ranked)):
            counts[kind] += np.bincount(bins[pairs], minlength=ANGLE_BINS)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    positive, negative = (_median(share) for share in shares)
    return Angles(shares[0], shares[1], positive, negative, len(rows))


def _median(shares: np.ndarray) -> float:
    """The middle of the bin that the median falls in, in degrees."""
    degrees = 180 / ANGLE_BINS
    return float((np.searchsorted(shares.cumsum(), 0.5) + 0.5) * degrees)


def hardest(run: Run, count: int) -> np.ndarray:
    """The queries of least average precision; of equal ones the first."""
    ap = run.first.average_precision.numpy()
    order = np.argsort(np.where(np.isnan(ap), np.inf, ap), kind="stable")
    return order[: min(count, int((~np.isnan(ap)).sum()))]


def nearest(run: Run, rows: np.ndarray, count: int) -> list[list[Listed]]:
    """The nearest gallery images of these queries in the order of the ranking, junk among them."""
    gallery = run.query if run.gallery is None else run.gallery
    found = run.lists(rows, min(count, len(gallery)))
    lists = []
    for g, d, matches, junk in zip(*(t.numpy() for t in found[1:]), strict=True):
        kinds = np.where(junk, JUNK, np.where(matches, RIGHT, WRONG))
        lists.append(
            [Listed(int(g[i]), float(d[i]), str(kinds[i])) for i in np.flatnonzero(g >= 0)]
        )
    return lists


def embedding_map(run: Run) -> Map:
    """The two principal components of normalised features, of images of some identities first."""
    q_ids, g_ids = (column(side, "identities") for side in run.sides)
    ids = np.concatenate([q_ids, g_ids])
    is_query = np.arange(len(ids)) < len(run.sides[0])
    common = np.intersect1d(q_ids, g_ids)  # type: ignore[arg-type]
    values, counts = np.unique(ids[np.isin(ids, common)], return_counts=True)
    colored = np.sort(values[np.argsort(-counts, kind="stable")[:COLORED]])
    chosen = np.union1d(
        np.flatnonzero(np.isin(ids, colored))[: MOST_POINTS // 2],
        evenly(len(ids), MOST_POINTS // 2),
    )
    x = torch.cat([side.tensor().float().cpu() for side in run.sides])[chosen]
    finite = x.isfinite().all(1)  # any other would make all of them NaN
    chosen, x = chosen[finite.numpy()], F.normalize(x[finite])
    x = (x - x.mean(0)).double()
    values_of, vectors = torch.linalg.eigh(x @ x.T)  # ascending
    weights = values_of.clamp(min=0)
    xy = vectors[:, -2:].flip(1) * weights[-2:].flip(0).sqrt()
    xy *= torch.where(xy.gather(0, xy.abs().argmax(0)[None]) < 0, -1.0, 1.0)  # of either sign
    kept = float(weights[-2:].sum() / weights.sum().clamp(min=1e-300))
    color = np.full(len(chosen), -1)
    for number, identity in enumerate(colored):
        color[ids[chosen] == identity] = number
    return Map(xy.numpy(), kept, is_query[chosen], color, colored.tolist())
