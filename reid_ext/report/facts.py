"""What a report shows besides the ranking: angles of pairs, nearest images, a map."""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from reid_ext.evaluation import search
from reid_ext.report.run import Run

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

    row: int  # of the gallery
    distance: float
    verdict: str  # RIGHT, WRONG or JUNK


class Map(NamedTuple):
    """Images on a plane (N, 2), the share of the variance that it keeps, and who is who."""

    xy: np.ndarray
    kept: float
    is_query: np.ndarray  # (N,) bool
    color: np.ndarray  # (N,), -1: none
    identities: list[int]  # of the colours


def evenly(count: int, most: int) -> np.ndarray:
    """At most so many of 0..count-1, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def angles(run: Run) -> Angles:
    """Angles between features of one identity and of two, without the junk of the protocol."""
    rows = evenly(len(run.query.identities), MOST_QUERIES)
    counts = np.zeros((2, ANGLE_BINS))
    for some, angle in run.angles(rows):
        known = ~np.isnan(angle)  # of a feature that is not finite there is none; it ranks last
        angle = np.where(known, angle, 0)
        bins = np.minimum((angle * (ANGLE_BINS / np.pi)).astype(np.int64), ANGLE_BINS - 1)
        same, ranked = run.same_identity(some), ~run.junk(some) & known
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
    ap = run.ranking.average_precision.numpy()
    order = np.argsort(np.where(np.isnan(ap), np.inf, ap), kind="stable")
    return order[: min(count, int((~np.isnan(ap)).sum()))]


def nearest(run: Run, rows: np.ndarray, count: int) -> list[list[Listed]]:
    """The nearest gallery images of these queries, junk among them."""
    count = min(count, len(run.gallery.identities))
    if run.distances is not None:
        d = run.distances[torch.from_numpy(rows)]
        order = d.argsort(dim=1, stable=True)[:, :count]
        found = d.gather(1, order), order
    else:
        q = run.query.features[torch.from_numpy(rows)]
        found = search(q, run.gallery.features, count, metric=run.metric)
    distances, indices = (t.cpu().numpy() for t in found)
    same, junk = run.same_identity(rows), run.junk(rows)
    return [
        [
            Listed(int(g), float(d), JUNK if junk[row, g] else RIGHT if same[row, g] else WRONG)
            for g, d in zip(indices[row], distances[row], strict=True)
        ]
        for row in range(len(rows))
    ]


def embedding_map(run: Run) -> Map:
    """The two principal components of normalised features, of images of some identities first."""
    sides = run.query, run.gallery
    ids = np.concatenate([side.identities for side in sides])
    is_query = np.arange(len(ids)) < len(run.query.identities)
    common = np.intersect1d(run.query.identities, run.gallery.identities)
    values, counts = np.unique(ids[np.isin(ids, common)], return_counts=True)
    colored = np.sort(values[np.argsort(-counts, kind="stable")[:COLORED]])
    chosen = np.union1d(
        np.flatnonzero(np.isin(ids, colored))[: MOST_POINTS // 2],
        evenly(len(ids), MOST_POINTS // 2),
    )
    x = torch.cat([side.features.float().cpu() for side in sides])[chosen]
    finite = x.isfinite().all(1)  # one that is not would have no place, and leave no other any
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
