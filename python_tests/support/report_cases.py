"""Runs for the tests of the report, and a reader of its pages."""

from html.parser import HTMLParser

import numpy as np
import torch

from reid_ext import evaluate, evaluate_sysu
from reid_ext.evaluation import select_galleries
from reid_ext.report import Run, Side

NASTY = "\"><img src=x onerror=alert(1)><script>alert(2)</script>'&amp;"
TRIALS = 4


def side(count, seed, people=6, folder=None):
    random = np.random.default_rng(seed)
    ids = random.integers(0, people, count)
    centre = np.random.default_rng(0).standard_normal((people, 8))
    x = torch.tensor(centre[ids] + random.standard_normal((count, 8)), dtype=torch.float32)
    paths = None if folder is None else [str(folder / f"{i:03d}.png") for i in range(count)]
    return Side(x, ids, random.integers(0, 3, count), None if paths is None else np.array(paths))


def labels(query, gallery):
    """The labels of both sides, as evaluate takes them."""
    return {
        "query_ids": query.identities,
        "gallery_ids": gallery.identities,
        "query_cameras": query.cameras,
        "gallery_cameras": gallery.cameras,
    }


def run(name="a", protocol="market1501", query=None, gallery=None, **options):
    query, gallery = query or side(20, 1), gallery or side(60, 2)
    ranking = evaluate(
        query.features,
        gallery.features,
        **labels(query, gallery),
        protocol=protocol,
        **options,
    )
    return Run(name, query, gallery, ranking, protocol)


class Reader(HTMLParser):
    """The elements of a page with their attributes, and the first text of each kind of element."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts, self._open = [], {}, [""]
        self.feed(page)

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        self._open.append(name)

    def handle_data(self, data):
        self.texts.setdefault(self._open[-1], data)  # the first of each kind


def sysu_sides(folder=None):
    """Infrared queries and visible gallery, as SYSU-MM01's cameras see them."""
    query, gallery = side(24, 1, folder=folder), side(90, 2, folder=folder)
    random = np.random.default_rng(0)
    query.cameras[:] = random.choice([3, 6], 24)
    gallery.cameras[:] = random.choice([1, 2, 4, 5], 90)
    return query, gallery


def sysu_run(name="a", folder=None):
    """A run of the second trial, made by hand."""
    query, gallery = sysu_sides(folder)
    mean = evaluate_sysu(
        query.features,
        gallery.features,
        **labels(query, gallery),
        trials=TRIALS,
    )
    drawn = select_galleries(gallery.identities, gallery.cameras, trials=TRIALS)[1]
    return Run(
        name,
        query,
        gallery.rows(drawn),
        mean.trials[1],
        protocol="sysu-mm01",
        mean=mean,
        trial="trial 2 of 4",
    )
