"""Runs for the tests of the report, and a parser of its pages."""

from html.parser import HTMLParser

import numpy as np
import torch

from reid_ext import FeatureSet
from reid_ext.report import Run, write_report

NASTY = "\"><img src=x onerror=alert(1)><script>alert(2)</script>'&amp;"
TRIALS = 4


def side(count, seed, identities=6, folder=None):
    random = np.random.default_rng(seed)
    ids = random.integers(0, identities, count)
    centre = np.random.default_rng(0).standard_normal((identities, 8))
    x = torch.tensor(centre[ids] + random.standard_normal((count, 8)), dtype=torch.float32)
    paths = None if folder is None else [str(folder / f"{i:03d}.png") for i in range(count)]
    cameras = random.integers(0, 3, count)
    return FeatureSet(x, identities=ids, cameras=cameras, paths=paths)


def changed(one, features=None, **columns):
    """A copy of the set with other features or columns; None removes a column."""
    features = one.features if features is None else features
    return FeatureSet(features, **{**one.columns, **columns})


def labels(one):
    """Copies of the identities and cameras as arrays."""
    return one.identities.numpy().copy(), one.cameras.numpy().copy()


def run(name="a", protocol="market1501", query=None, gallery=None, **options):
    query, gallery = query or side(20, 1), gallery or side(60, 2)
    return Run.of(name, query, gallery, protocol=protocol, **options)


def written(tmp_path, *runs, **options):
    """Write the report of the runs and return its text; check that no temporary file is left."""
    write_report(tmp_path / "out.html", runs, **options)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    return (tmp_path / "out.html").read_text()


class Reader(HTMLParser):
    """The elements of a page with their attributes, and the first text of each type of element."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts, self._open = [], {}, [""]
        self.feed(page)

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        self._open.append(name)

    def handle_data(self, data):
        self.texts.setdefault(self._open[-1], data)  # the first of each type


def sysu_sides(folder=None):
    """Infrared queries and a visible gallery with the cameras of SYSU-MM01."""
    random = np.random.default_rng(0)
    made = [
        changed(
            side(count, seed, folder=folder),
            cameras=random.choice(cameras, count),
            modalities=np.full(count, modality),
        )
        for count, seed, cameras, modality in ((24, 1, [3, 6], 1), (90, 2, [1, 2, 4, 5], 0))
    ]
    return tuple(made)


def sysu_run(name="a", folder=None):
    return Run.of(name, *sysu_sides(folder), protocol="sysu-mm01", trials=TRIALS)
