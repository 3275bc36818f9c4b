"""The synthetic dataset in five more layouts: loading it, and properties of each layout."""

from collections import Counter

import cv2
import numpy as np
import pytest

from reid_ext import data
from reid_ext.synthetic import LAYOUTS, Settings

SMALL = {"identities": (4, 0, 2), "images": (3, 2)}
NAMES = ("regdb", "dukemtmc-reid", "cuhk03-np", "msmt17", "veri776")
SPLITS = {  # images of train, query and gallery
    "regdb": (4 * (3 + 2), 2 * 3, 2 * 2),
    "dukemtmc-reid": (4 * 8 * 3, 2 * 8, 2 * 8 * 3 + 2 * 3),
    "cuhk03-np": (4 * 2 * 3, 2 * 2 * 2, 2 * 2 * 3),
    "msmt17": (4 * (6 * 3 - 2), 2 * 6 * 2, 2 * 6 * 3),
    "veri776": (4 * 6 * 3, 2 * 6 * 2, 2 * 6 * 3),
}
each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    return {n: data.synthesize(n, folder / n, **SMALL, workers=1) for n in NAMES}


def images_of(root):
    return [p for p in root.rglob("*") if p.suffix in (".jpg", ".png", ".bmp")]


@each
def test_reader_loads_synthetic_dataset(name, roots):
    dataset = data.load(name, roots[name])
    assert tuple(map(len, dataset[1:])) == SPLITS[name]
    assert len({s.identity for s in dataset.train}) == 4
    assert len({s.identity for s in dataset.query}) == 2
    assert {s.identity for s in dataset.query} <= {s.identity for s in dataset.gallery}
    samples = dataset.train + dataset.query + dataset.gallery
    assert {s.view for s in samples} == {0, 1, 2}
    assert all(data.decode(s.path).shape == (128, 64, 3) for s in samples)


@each
def test_number_of_images_matches_rendered_files(name, roots):
    layout = LAYOUTS[name]
    assert len(images_of(roots[name])) == layout.number_of_images(Settings(**SMALL))


@each
def test_queries_have_matches_in_other_cameras(name, roots):
    dataset = data.load(name, roots[name])
    for query in dataset.query:
        cameras = {g.camera for g in dataset.gallery if g.identity == query.identity}
        assert cameras - {query.camera}


@pytest.mark.slow
@each
def test_settings_determine_the_files(name, roots, tmp_path):
    again = data.synthesize(name, tmp_path / "again", **SMALL, workers=2)
    other = data.synthesize(name, tmp_path / "other", **SMALL, workers=1, seed=1)
    files = {p.relative_to(again) for p in again.rglob("*") if p.is_file()}
    assert files == {p.relative_to(roots[name]) for p in roots[name].rglob("*") if p.is_file()}
    assert all((again / p).read_bytes() == (roots[name] / p).read_bytes() for p in files)
    path = next(s.path for s in data.load(name, other).train)
    assert all(path.read_bytes() != p.read_bytes() for p in images_of(again))


@each
def test_person_does_not_depend_on_other_counts(name, roots, tmp_path):
    fewer = data.synthesize(name, tmp_path, identities=(1, 0, 1), images=(3, 2), workers=1)
    ours = {p.read_bytes() for p in images_of(roots[name])}
    assert {p.read_bytes() for p in images_of(fewer)} < ours


@each
def test_synthesize_raises_for_validation_identities(name, tmp_path):
    with pytest.raises(ValueError, match=rf"0 validation identities for '{name}'"):
        data.synthesize(name, tmp_path / "new", identities=(3, 1, 2))
    assert not any(tmp_path.iterdir())


@each
def test_tiny_preset_has_a_few_hundred_images(name):
    layout = LAYOUTS[name]
    assert layout.PRESETS.keys() == {"default", "tiny"}
    assert 300 <= layout.number_of_images(layout.PRESETS["tiny"]) <= 700
    assert layout.number_of_images(layout.PRESETS["default"]) <= 4000


def test_layouts_have_different_persons():
    keys = Counter()
    for layout in LAYOUTS.values():
        keys.update({task.key for task in layout.tasks(layout.PRESETS["default"])})
    assert max(keys.values()) == 1


def test_regdb_trials_have_different_splits(roots):
    halves = set()
    for trial in range(1, 11):
        dataset = data.load("regdb", roots["regdb"], trial=trial)
        folders = [{s.path.parent.name for s in samples} for samples in dataset[1:]]
        assert folders[1] == folders[2] and folders[0] | folders[1] == set("123456")
        assert not folders[0] & folders[1]
        label = {(s.path.parent.name, s.identity) for s in dataset.query + dataset.gallery}
        assert len(label) == 2  # an identity is one person in both modalities
        halves.add(frozenset(folders[1]))
    assert len(halves) > 4


def test_regdb_thermal_images_are_grey(roots):
    for path in images_of(roots["regdb"]):
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(int)
        color = data.decode(path).astype(int)
        assert stored.shape[:2] == (128, 64) and path.suffix == ".bmp"
        assert bool((color == color[..., :1]).all()) == ("Thermal" in path.parts)


def test_dukemtmc_distractors_have_one_camera(roots):
    dataset = data.load("dukemtmc-reid", roots["dukemtmc-reid"])
    cameras = {}
    for sample in dataset.gallery:
        cameras.setdefault(sample.identity, set()).add(sample.camera)
    assert {i: len(c) for i, c in cameras.items()} == {5: 8, 6: 8, 7: 1, 8: 1}


def test_synthesize_raises_for_too_many_distractors(tmp_path):
    with pytest.raises(ValueError, match=r"must give at most 9999 identities, .* got 10005"):
        data.synthesize("dukemtmc-reid", tmp_path, identities=(4, 0, 2), images=(1, 9999))


def test_cuhk03_boxes_have_the_same_images(roots):
    root = roots["cuhk03-np"]
    detected, labeled = (data.load("cuhk03-np", root, boxes=b) for b in ("detected", "labeled"))
    differences = []
    for first, second, stranger in zip(
        detected.query, labeled.query, labeled.query[::-1], strict=True
    ):
        assert first.path.name == second.path.name
        a, b, c = (data.decode(s.path).astype(float) for s in (first, second, stranger))
        differences.append((np.abs(a - b).mean(), np.abs(a - c).mean()))
    same, other = np.mean(differences, axis=0)
    assert 1 < same < other


def test_cuhk03_identities_have_one_camera_pair(roots):
    dataset = data.load("cuhk03-np", roots["cuhk03-np"])
    cameras = {}
    for sample in dataset.train:
        cameras.setdefault(sample.identity, set()).add(sample.camera)
    assert cameras == {1: {1, 2}, 2: {3, 4}, 3: {5, 6}, 4: {7, 8}}


def test_msmt17_val_has_training_identities(roots):
    root = roots["msmt17"]
    train = data.load("msmt17", root).train
    more = data.load("msmt17", root, train_on="trainval").train
    assert Counter(s.identity for s in train) == dict.fromkeys(range(4), 16)
    assert Counter(s.identity for s in more) == dict.fromkeys(range(4), 18)
    assert len({s.path for s in more}) == 4 * 18


def test_veri776_lists_match_images(roots):
    root = roots["veri776"]
    for folder, name in data.veri776.NAME_LISTS.items():
        listed = (root / name).read_text().splitlines()
        assert listed == sorted(p.name for p in (root / folder).iterdir()) and listed
