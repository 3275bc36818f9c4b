"""The section about single queries: ranked lists of the hardest queries, and a table of all."""

from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from reid_ext.features import FeatureSet
from reid_ext.report.facts import JUNK, RIGHT, WRONG, Listed, hardest, nearest
from reid_ext.report.markup import Markup, joined, tag
from reid_ext.report.run import Run, column
from reid_ext.report.tables import Cell, sortable
from reid_ext.report.thumbnails import Thumbnails

HARDEST = 12
LISTED = 12  # gallery images per list
MOST_ROWS = 1_000  # in the table of queries

SIGNS = {RIGHT: "✓", WRONG: "✗", JUNK: "—"}


def same_queries(runs: Sequence[Run]) -> bool:
    """Return whether all runs have the same queries in the same order, judged by labels."""
    first, *others = (
        [column(run.sides[0], name) for name in ("identities", "cameras")] for run in runs
    )
    return all(
        np.array_equal(values, of_other)  # type: ignore[arg-type]
        for other in others
        for values, of_other in zip(first, other, strict=True)
    )


def ranked_lists(runs: Sequence[Run]) -> Markup:
    """Return the hardest queries of the first run, with the lists of all runs that have them."""
    rows = hardest(runs[0], HARDEST)
    shown = runs if same_queries(runs) else runs[:1]
    lists = [nearest(run, rows, LISTED) for run in shown]
    images = Thumbnails()
    articles = [
        _article(shown, int(q), [of_run[i] for of_run in lists], images) for i, q in enumerate(rows)
    ]
    key = [
        tag("span", f"{SIGNS[v]} {words}", class_=f"key {v}")
        for v, words in ((RIGHT, "match"), (WRONG, "wrong"), (JUNK, "junk, not ranked"))
    ]
    below = f"Below each image: distance from the query, identity and camera. {images}"
    return joined(tag("p", *key, class_="keys"), tag("p", below, class_="caption"), *articles)


def _article(
    runs: Sequence[Run], q: int, lists: Sequence[list[Listed]], images: Thumbnails
) -> Markup:
    known = _known(runs[0].sides[0], q)
    parts: list[str] = [tag("h3", f"Query {q}: {known}")]
    for run, listed in zip(runs, lists, strict=True):
        ap = float(run.first.average_precision[q])
        words = f"AP {100 * ap:.1f} %, first match at rank {_first_image(run, q)}"
        if _rank(run, q) != _first_image(run, q):  # for example a CMC that ranks identities
            words += f", which the CMC counts as rank {_rank(run, q)}"
        if len(runs) > 1:
            words = f"{run.name}: {words}"
        parts.append(tag("p", words, class_="caption"))
        query = _figure(images, run.sides[0], q, "query", "query")
        gallery = run.query if run.gallery is None else run.gallery
        found = [
            _figure(images, gallery, one.row, one.verdict, f"{one.distance:.3f}") for one in listed
        ]
        name = f"nearest gallery images of query {q}"
        strip = tag("ol", query, *found, class_="strip", tabindex="0", aria_label=name)
        parts.append(strip)
    return tag("article", *parts, id=f"query-{q}")


def _first_image(run: Run, q: int) -> str:
    """Return the rank of a query's first match among the images of its list."""
    offsets, ranks = run.first.match_ranks
    return str(int(ranks[offsets[q]])) if offsets[q] < offsets[q + 1] else "—"


def _rank(run: Run, q: int) -> str:
    """Return the rank of a query's first match as the CMC counts it."""
    first = run.first.first_match
    value = float(first[q]) if len(first) else float("nan")
    return "—" if np.isnan(value) else f"{value:.0f}"


def _figure(images: Thumbnails, side: FeatureSet, row: int, verdict: str, words: str) -> Markup:
    """Return an image with its border and sign, or only the text if there is no file."""
    source = images[_path(side, row)]
    known = _known(side, row)
    said = {RIGHT: "match"}.get(verdict, verdict)
    label = f"{said}: {known}"
    picture = (
        tag("span", "no image", class_="empty")
        if source is None
        else tag("img", src=source, alt=label, decoding="async")
    )
    sign = tag("span", SIGNS.get(verdict, "?"), class_="sign", aria_hidden="true")
    lines = [words, f"id {_number(side, 'identities', row)}"]
    if (camera := _number(side, "cameras", row)) is not None:
        lines.append(f"camera {camera}")
    caption = [tag("span", line, class_="words") for line in lines]
    return tag("li", picture, sign, *caption, class_=f"hit {verdict}", title=label)


def _path(side: FeatureSet, row: int) -> str:
    return str(side.columns["paths"][row]) if "paths" in side.columns else ""


def _number(side: FeatureSet, name: str, row: int) -> int | None:
    return int(side.columns[name][row]) if name in side.columns else None


def _known(side: FeatureSet, row: int) -> str:
    words = f"identity {_number(side, 'identities', row)}"
    if (camera := _number(side, "cameras", row)) is not None:
        words += f", camera {camera}"
    name = PurePath(_path(side, row)).name
    return f"{words}, {name}" if name else words


def query_table(runs: Sequence[Run]) -> Markup:
    """Return a sortable table of all queries, hardest first, with the AP of each run."""
    shown = runs if same_queries(runs) else runs[:1]
    rows = hardest(runs[0], MOST_ROWS)
    listed = set(rows[:HARDEST].tolist())
    several = len(shown) > 1
    columns = ["query", "identity", "camera", "file"]
    columns += [f"AP, {run.name}" if several else "AP" for run in shown]
    columns += ["INP", "first match"]
    body = []
    for q in rows.tolist():
        number: str = tag("a", str(q), href=f"#query-{q}") if q in listed else str(q)
        side = runs[0].sides[0]
        identity, camera = (_number(side, name, q) or 0 for name in ("identities", "cameras"))
        shown_camera = str(camera) if "cameras" in side.columns else ""
        cells = [Cell(number, q), Cell(str(identity), identity), Cell(shown_camera, camera)]
        cells.append(Cell(PurePath(_path(side, q)).name))
        for run in shown:
            ap = float(run.first.average_precision[q])
            cells.append(Cell("—" if np.isnan(ap) else f"{100 * ap:.1f}", ap))
        inp = float(runs[0].first.inverse_negative_penalty[q])
        rank = _rank(runs[0], q)
        cells += [Cell(f"{100 * inp:.1f}", inp), Cell(rank, float(rank) if rank != "—" else 0.0)]
        body.append(cells)
    total = runs[0].first.num_valid
    note = "" if len(rows) == total else f"The {len(rows)} hardest of {total} queries. "
    caption = f"{note}AP and INP in percent. Queries with a link have a ranked list above."
    return joined(tag("p", caption, class_="caption"), sortable("queries", columns, body))
