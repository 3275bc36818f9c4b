"""Query and gallery of a command: its arguments, the files, and rows that are not finite."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reid_ext.cli.command import warn
from reid_ext.cli.features import Features, read_pair
from reid_ext.evaluation._engine.inputs import METRICS


class NotFinite(NamedTuple):
    """Rows of a file whose features hold NaN or infinity."""

    file: str
    side: str  # query or gallery
    rows: int
    of: int
    first: int

    def __str__(self) -> str:
        return (
            f"{self.file}: NaN or infinity in {self.rows} of {self.of} rows of the {self.side}, "
            f"first in row {self.first}"
        )


class Sides(NamedTuple):
    """What two feature files hold, and what is wrong with it."""

    query: Features
    gallery: Features
    not_finite: list[NotFinite]


def add_files(parser: argparse.ArgumentParser) -> None:
    """Arguments of a command that takes a query and a gallery."""
    parser.add_argument("query", metavar="QUERY.npz", type=Path)
    both = "may be left out where QUERY holds both, as layumi's pytorch_result.mat does"
    parser.add_argument("gallery", metavar="GALLERY.npz", type=Path, nargs="?", help=both)
    parser.add_argument("--metric", choices=METRICS, default="cosine")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    parser.add_argument("--json", action="store_true")


def read_sides(query: Path, gallery: Path | None) -> Sides:
    """Both files, or one that holds both; errors as :func:`read_features`."""
    q, g = read_pair(query, gallery)
    few = slice(None, None, max(1, len(q.features) // 1000))  # of many rows
    if q.features.shape == g.features.shape and np.array_equal(q.features[few], g.features[few]):
        warn(
            f"query and gallery must be of different images, got the same features of {query} and "
            f"{gallery or query}; each query finds itself where the protocol does not make it junk"
        )
    found = _not_finite(query, "query", q), _not_finite(gallery or query, "gallery", g)
    return Sides(q, g, [one for one in found if one is not None])


def _not_finite(file: Path, side: str, of: Features) -> NotFinite | None:
    rows = np.flatnonzero(~np.isfinite(of.features).all(1))
    if not len(rows):
        return None
    return NotFinite(str(file), side, len(rows), len(of.features), int(rows[0]))


def warn_not_finite(found: Sequence[NotFinite]) -> None:
    """A line for each: an evaluation goes on, for one bad image is no reason to have no figures."""
    ranks = {"gallery": "these images rank last", "query": "these rank the gallery by its index"}
    for one in found:
        warn(f"{one}; {ranks[one.side]}; look at the image or the network it comes from")


def refuse_not_finite(found: Sequence[NotFinite]) -> None:
    """ValueError: a re-ranking would spread them over their neighbours."""
    if found:
        words = "; ".join(map(str, found))
        raise ValueError(
            f"features must be finite to be re-ranked, got {words}; look at the image or the "
            "network it comes from"
        )
