"""The sections about all queries: metrics, CMC, average precision, angles, cameras, embedding."""

from collections.abc import Sequence

import numpy as np

from reid_ext.evaluation import Confidence
from reid_ext.report import charts, facts
from reid_ext.report.camera_pairs import camera_pairs
from reid_ext.report.charts import Axis, percent_axis
from reid_ext.report.markup import Markup, joined, tag
from reid_ext.report.run import Run
from reid_ext.report.tables import Cell, shaded, sortable

RANKS = (1, 5, 10, 20)
MOST_RANKS = 20
AP_BINS = 20


def figures(runs: Sequence[Run], spreads: Sequence[Confidence | None]) -> Markup:
    """Return the metrics of every run with their spread, and how each was made."""
    ranks = [k for k in RANKS if all(k <= len(run.ranking.cmc) for run in runs)]
    columns = ["run", "mAP", *(f"rank-{k}" for k in ranks), "mINP"]
    rows = []
    for run, spread in zip(runs, spreads, strict=True):
        metrics = [(run.ranking.mAP, spread and _ends(spread.mAP))]
        metrics += [(run.ranking.rank(k), _of_cmc(spread, k)) for k in ranks]
        metrics.append((run.ranking.mINP, spread and _ends(spread.mINP)))
        rows.append([Cell(run.name), *(_metric(value, ends) for value, ends in metrics)])
    prints = [tag("li", tag("b", f"{run.name}: "), str(run.ranking.protocol)) for run in runs]
    below = _spread_of(runs, spreads)
    words = f"Values in percent. Below each value: {below}." if below else "Values in percent."
    return joined(
        sortable("metrics", columns, rows),
        tag("p", words, class_="caption"),
        tag("ul", *prints, class_="prints"),
    )


def _spread_of(runs: Sequence[Run], spreads: Sequence[Confidence | None]) -> str:
    """Return what an interval or band shows; empty if no run has one."""
    known = zip(runs, spreads, strict=True)
    counts = sorted({len(run.ranking.trials) for run, spread in known if spread is not None})
    words = [
        f"smallest and largest value of {count} trials"
        if count
        else "95 % bootstrap interval over queries"
        for count in counts
    ]
    return " or ".join(words)


def _of_cmc(spread: Confidence | None, k: int) -> tuple[float, float] | None:
    return spread and (float(spread.cmc.low[k - 1]), float(spread.cmc.high[k - 1]))


def _ends(interval: Sequence) -> tuple[float, float]:
    return float(interval[0]), float(interval[1])


def _metric(value: float, ends: tuple[float, float] | None) -> Cell:
    words: str = f"{100 * value:.2f}"
    if ends is not None:
        between = f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"
        words = joined(words, tag("small", between))
    return Cell(words, value)


def cmc(runs: Sequence[Run], spreads: Sequence[Confidence | None]) -> Markup:
    """Return CMC curves with the band of each spread."""
    most = min(MOST_RANKS, max(len(run.ranking.cmc) for run in runs))
    curves = [run.ranking.cmc.numpy()[:most] for run in runs]
    lows = [spread.cmc.low.numpy()[:most] for spread in spreads if spread is not None]
    lowest = np.floor(max(0.0, min(float(c.min()) for c in curves + lows) - 0.01) * 10) / 10
    ticks = [(float(k), str(k)) for k in (1, 5, 10, 15, 20) if k <= most]
    x, y = Axis("rank", 1, max(most, 2), ticks), percent_axis("matching rate", float(lowest))
    bands, lines = [], []
    for i, (run, rates, spread) in enumerate(zip(runs, curves, spreads, strict=True)):
        ranks = np.arange(1, len(rates) + 1)
        if spread is not None:
            low, high = (end.numpy()[:most] for end in spread.cmc)
            bands.append(charts.band(x, y, ranks, low, high, i))
        lines.append(charts.curve(x, y, ranks, rates, i, run.name))
    said = "; ".join(f"{run.name}: rank-1 {100 * run.ranking.rank(1):.1f} %" for run in runs)
    drawn = charts.chart(f"CMC curves. {said}", x, y, *bands, *lines)
    band = _spread_of(runs, spreads)
    parts = [drawn, charts.legend([run.name for run in runs])]
    if band:
        parts.append(tag("p", f"Band: {band}.", class_="caption"))
    return joined(*parts)


def average_precision(runs: Sequence[Run]) -> Markup:
    """Return histograms of the average precision of queries."""
    edges = np.linspace(0, 1, AP_BINS + 1)
    counts = [np.histogram(run.precisions(), edges)[0] for run in runs]
    shares = [count / max(count.sum(), 1) for count in counts]
    x = percent_axis("average precision")
    y = percent_axis("share of queries", 0, _above(max(float(s.max()) for s in shares)))
    drawn = [
        charts.steps(x, y, edges, share, i, run.name)
        for i, (run, share) in enumerate(zip(runs, shares, strict=True))
    ]
    label = "Histogram of average precision over the queries"
    parts = [charts.chart(label, x, y, *drawn), charts.legend([run.name for run in runs])]
    if any(run.ranking.trials for run in runs):
        parts.append(tag("p", "Queries of all trials.", class_="caption"))
    return joined(*parts)


def angles(runs: Sequence[Run]) -> list[Markup]:
    """Return histograms of the angles of pairs, one per run, on the same axes."""
    of_runs = [facts.angles(run) for run in runs]
    edges = np.linspace(0, 180, facts.ANGLE_BINS + 1)
    shares = np.stack([share for found in of_runs for share in found[:2]])
    used = np.flatnonzero(shares.sum(0))
    high = min(180.0, 30 * np.ceil(edges[used[-1] + 1] / 30)) if len(used) else 180.0
    x = Axis("angle", 0, high, [(float(d), f"{d}°") for d in range(0, int(high) + 1, 30)])
    y = percent_axis("share of pairs", 0, _above(float(shares.max())))
    return [_angles(run, found, x, y) for run, found in zip(runs, of_runs, strict=True)]


def _angles(run: Run, found: facts.Angles, x: Axis, y: Axis) -> Markup:
    edges = np.linspace(0, 180, facts.ANGLE_BINS + 1)
    bins = int(x.high / 180 * facts.ANGLE_BINS)
    names = ["same identity", "different identities"]
    drawn = [
        charts.steps(x, y, edges[: bins + 1], share[:bins], i, name)
        for i, (name, share) in enumerate(zip(names, (found.positive, found.negative), strict=True))
    ]
    words = (
        f"Median angle {found.positive_median:.0f}° for the same identity, "
        f"{found.negative_median:.0f}° for different identities. Pairs of {found.queries} queries "
        "with the whole gallery, without junk."
    )
    label = f"Histogram of angles, {run.name}. {words}"
    chart = charts.chart(label, x, y, *drawn)
    return joined(chart, charts.legend(names), tag("p", words, class_="caption"))


def cameras(run: Run) -> Markup:
    """Return the mAP by camera of the query and camera of the gallery."""
    found = camera_pairs(run)
    if found is None:
        return tag("p", "This run has no camera labels.", class_="caption")
    words = "mAP in percent for a gallery of one camera. A dash (—): no match is possible."
    q_names, g_names = (
        [str(c) for c in side] for side in (found.query_cameras, found.gallery_cameras)
    )
    matrix = shaded("mAP by camera", "query \\ gallery", q_names, g_names, found.mAP)
    if run.ranking.protocol.rerank is not None:
        words += " Computed from the feature distances, without re-ranking."
    return joined(matrix, tag("p", words, class_="caption"))


def embedding(run: Run) -> Markup:
    """Return the map of the embedding."""
    found = facts.embedding_map(run)
    low, high = found.xy.min(0), found.xy.max(0)
    room = 0.04 * (high - low)
    limits = enumerate(zip((low - room).tolist(), (high + room).tolist(), strict=True))
    x, y = (Axis(f"component {i + 1}", low_end, high_end, []) for i, (low_end, high_end) in limits)
    names = [
        f"{'query' if is_query else 'gallery'}, "
        + (f"identity {found.identities[c]}" if c >= 0 else "another identity")
        for is_query, c in zip(found.is_query, found.color, strict=True)
    ]
    drawn = charts.dots(x, y, found.xy, found.color, found.is_query, names)
    words = (
        f"The first two principal components of {len(found.xy)} images. They keep "
        f"{100 * found.kept:.0f} % of the variance, so neighbours in this map are not always "
        "neighbours in the ranking. Triangles are queries, circles are gallery images."
    )
    chart = charts.chart(f"Map of the embedding, {run.name}. {words}", x, y, drawn)
    identities = [f"identity {i}" for i in found.identities]
    return joined(chart, charts.legend(identities), tag("p", words, class_="caption"))


def _above(most: float) -> float:
    """Return a round share with some room above ``most``."""
    steps = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
    return next((s for s in steps if s >= 1.05 * most), 1.0)
