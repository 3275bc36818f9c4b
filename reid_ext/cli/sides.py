"""Query and gallery files: their arguments, their content, and rows that are not finite."""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from reid_ext.cli.command import add_device, warn
from reid_ext.features import FeatureSet, load_pair
from reid_ext.ops import METRICS


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
    """The features of queries and gallery, and their rows that are not finite."""

    query: FeatureSet
    gallery: FeatureSet | None  # None: galleries are drawn from the queries
    not_finite: list[NotFinite]

    @property
    def sets(self) -> list[FeatureSet]:
        """One set or two, as :func:`reid_ext.evaluate` takes them."""
        return [self.query] if self.gallery is None else [self.query, self.gallery]


def add_files(parser: Any) -> None:
    """Add the positional arguments QUERY and GALLERY to a group."""
    what = "feature file of the queries (.npz, .npy, .mat, .pt, .csv or .parquet)"
    parser.add_argument("query", metavar="QUERY.npz", type=Path, help=what)
    what = "feature file of the gallery (default: QUERY.npz holds both)"
    parser.add_argument("gallery", metavar="GALLERY.npz", type=Path, nargs="?", help=what)


def add_metric(parser: Any, default: str) -> None:
    """Add ``--metric`` and ``--device`` to a group; the metric is None if it is not given.

    ``default`` is for the help text.
    """
    what = f"distance between features (default: {default})"
    parser.add_argument("--metric", choices=METRICS, help=what)
    add_device(parser)


def read_sides(query: Path, gallery: Path | None, device: torch.device) -> Sides:
    """Read two files, or one file with both sides; errors are those of FeatureSet.load."""
    _check_files(query, *([] if gallery is None else [gallery]))
    sets = load_pair(query, gallery)
    files = query, gallery or query
    found = [
        _not_finite(file, side, of)
        for file, side, of in zip(files, ("query", "gallery"), sets, strict=True)
    ]
    q, g = (of.to(device) for of in sets)
    return Sides(q, g, [one for one in found if one is not None])


def read_one_set(file: Path, device: torch.device) -> Sides:
    """Read the file of a protocol that draws its galleries from the queries."""
    _check_files(file)
    features = FeatureSet.load(file)
    found = _not_finite(file, "query", features)
    return Sides(features.to(device), None, [] if found is None else [found])


def _check_files(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            got = "a folder; give a file in it" if path.is_dir() else "a path that does not exist"
            raise FileNotFoundError(f"{path} must be a feature file (.npz), got {got}")


def _not_finite(file: Path, side: str, of: FeatureSet) -> NotFinite | None:
    rows = (~of.tensor().isfinite().all(1)).nonzero()[:, 0]
    if not len(rows):
        return None
    return NotFinite(str(file), side, len(rows), len(of), int(rows[0]))


def warn_not_finite(found: list[NotFinite]) -> None:
    """Print a warning for each file; the evaluation continues despite a damaged image."""
    ranks = {
        "gallery": "these images rank last",
        "query": "for these queries the gallery keeps its input order",
    }
    for one in found:
        warn(f"{one}; {ranks[one.side]}; check the image or the network it comes from")
