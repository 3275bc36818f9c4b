"""Data that a report shows in addition to the ranking: angles of pairs, ranked lists, a map."""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from reid_ext.report.run import Run, column

ANGLE_BINS = 90  # of two degrees each
MOST_QUERIES = 500  # for the angles of pairs
MOST_POINTS = 1_000  # in the map
COLORED = 7  # identities with a colour in the map

RIGHT, WRONG, JUNK = "right", "wrong", "junk"


class Angles(NamedTuple):
    """Shares of pairs by angle, (ANGLE_BINS,), each with sum 1, and median angles in degrees."""

    positive: np.ndarray
    negative: np.ndarray
    positive_median: float
    negative_median: float
    queries: int


class Listed(NamedTuple):
    """One gallery image of a ranked list."""

    row: int  # of the gallery, or of the query set if the gallery is drawn from it
    distance: float
    verdict: str  # RIGHT, WRONG or JUNK


class Map(NamedTuple):
    """Images on a plane (N, 2), the share of variance that it keeps, and their labels."""

    xy: np.ndarray
    kept: float
    is_query: np.ndarray  # (N,) bool
    color: np.ndarray  # (N,) index into ``identities``; -1 for any other
    identities: list[int]  # with a colour


def evenly(count: int, most: int) -> np.ndarray:
    """Return at most ``most`` of 0..count-1, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def angles(run: Run) -> Angles:
    """Return the angles of pairs with the same and with different identities, without junk."""
    rows = evenly(len(run.sides[0]), MOST_QUERIES)
    counts = np.zeros((2, ANGLE_BINS))
    for some, angle in run.angles(rows):
        known = ~np.isnan(angle)  # NaN for features that are not finite; such images rank last
        angle = np.where(known, angle, 0)
        bins = np.minimum((angle * (ANGLE_BINS / np.pi)).astype(np.int64), ANGLE_BINS - 1)
        same, ranked = run.same_identity(some), ~run.left_out(some) & known
        for kind, pairs in enumerate((same & ranked, ~same & ranked)):
            counts[kind] += np.bincount(bins[pairs], minlength=ANGLE_BINS)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    positive, negative = (_median(share) for share in shares)
    return Angles(shares[0], shares[1], positive, negative, len(rows))


def _median(shares: np.ndarray) -> float:
    """Return the middle of the bin that contains the median, in degrees."""
    degrees = 180 / ANGLE_BINS
    return float((np.searchsorted(shares.cumsum(), 0.5) + 0.5) * degrees)


def hardest(run: Run, count: int) -> np.ndarray:
    """Return the queries with the lowest average precision; ties keep their order."""
    ap = run.first.average_precision.numpy()
    order = np.argsort(np.where(np.isnan(ap), np.inf, ap), kind="stable")
    return order[: min(count, int((~np.isnan(ap)).sum()))]


def nearest(run: Run, rows: np.ndarray, count: int) -> list[list[Listed]]:
    """Return the nearest gallery images of these queries in ranking order, including junk."""
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
    """Return two principal components of normalised features; some identities come first."""
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
    finite = x.isfinite().all(1)  # other rows would make all values NaN
    chosen, x = chosen[finite.numpy()], F.normalize(x[finite])
    x = (x - x.mean(0)).double()
    values_of, vectors = torch.linalg.eigh(x @ x.T)  # ascending
    weights = values_of.clamp(min=0)
    xy = vectors[:, -2:].flip(1) * weights[-2:].flip(0).sqrt()
    xy *= torch.where(xy.gather(0, xy.abs().argmax(0)[None]) < 0, -1.0, 1.0)  # fixes the sign
    kept = float(weights[-2:].sum() / weights.sum().clamp(min=1e-300))
    color = np.full(len(chosen), -1)
    for number, identity in enumerate(colored):
        color[ids[chosen] == identity] = number
    return Map(xy.numpy(), kept, is_query[chosen], color, colored.tolist())
