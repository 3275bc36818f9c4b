"""The synthetic dataset in the layout of Market-1501: loading it, and its persons."""

from collections import Counter

import numpy as np
import pytest

from reid_ext import data
from reid_ext.synthetic import Settings, palette
from reid_ext.synthetic import yaw as views
from reid_ext.synthetic.market1501 import LAYOUT
from reid_ext.synthetic.parts import Part
from reid_ext.synthetic.person import draw_person

SMALL = {"identities": (3, 0, 2), "images": (2, 8)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic") / "market"
    return data.synthesize("market1501", folder, **SMALL, workers=1)


def test_reader_loads_synthetic_market1501(root):
    dataset = data.load("market1501", root)
    assert len(dataset.train) == 3 * 6 * 2
    assert {(s.identity, s.camera) for s in dataset.train} == {
        (identity, camera) for identity in (2, 3, 4) for camera in range(1, 7)
    }
    assert sorted((s.identity, s.camera) for s in dataset.query) == [
        (identity, camera) for identity in (5, 6) for camera in range(1, 7)
    ]
    number = Counter(s.identity for s in dataset.gallery)
    assert number == {5: 12, 6: 12, 0: 8 * 6, -1: 2 * 6}
    assert all(data.decode(s.path).shape == (128, 64, 3) for s in dataset.gallery[:20])


def test_number_of_images_matches_rendered_files(root):
    settings = Settings(**SMALL, difficulty=2.0, occlusion=0.3)
    assert len(list(root.rglob("*.jpg"))) == LAYOUT.number_of_images(settings)


def test_every_image_has_a_view(root):
    dataset = data.load("market1501", root)
    views = Counter(s.view for s in dataset.train + dataset.query + dataset.gallery)
    assert views.keys() == {0, 1, 2} and min(views.values()) > 20


@pytest.mark.parametrize("view, mean", [(0, 0.9), (1, 0.0), (2, -0.9)])
def test_yaw_of_matches_the_view(view, mean):
    rng = np.random.default_rng(0)
    towards = np.cos([views.yaw_of(rng, view) for _ in range(500)])
    assert abs(towards.mean() - mean) < 0.08


def test_persons_wear_few_colours():
    people = [draw_person([0, key], palette.FEW_CLOTHS) for key in range(300)]
    few = np.array(palette.FEW_CLOTHS)
    for person in people:
        cloth = person.visible[Part.UPPER, 0].astype(int)
        assert np.abs(few - cloth).max(1).min() < 35  # five standard deviations of a cloth colour


def test_seed_determines_the_files(root, tmp_path):
    again = data.synthesize("market1501", tmp_path / "again", **SMALL, workers=1)
    other = data.synthesize("market1501", tmp_path / "other", **SMALL, seed=1, workers=1)
    name = "query/0005_c1s1_*_00.jpg"
    first, same, different = (next(r.glob(name)).read_bytes() for r in (root, again, other))
    assert first == same and first != different


def test_synthesize_raises_for_validation_identities(tmp_path):
    with pytest.raises(ValueError, match="identities must have 0 validation identities"):
        data.synthesize("market1501", tmp_path / "new", identities=(3, 1, 2))
    assert not any(tmp_path.iterdir())


def test_layout_without_test_identities_has_no_gallery():
    settings = Settings((3, 0, 0), (2, 8))
    assert {t.identity for t in LAYOUT.tasks(settings)} == {2, 3, 4}
