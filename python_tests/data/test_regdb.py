"""The RegDB reader: ten trials, two modalities and broken lists."""

import json

import numpy as np
import pytest

from reid_ext import data


def image(identity, kind, number=0):
    return f"{kind}/{identity}/male_back_{kind[0].lower()}_{number:05d}_{identity}.bmp"


def write_lists(root, trial, identities, split):
    """Write two images of each identity and modality; the list counts identities from 0."""
    for kind in ("Visible", "Thermal"):
        lines = [
            f"{image(identity, kind, number)} {label}"
            for label, identity in enumerate(identities)
            for number in (1, 2)
        ]
        (root / "idx" / f"{split}_{kind.lower()}_{trial}.txt").write_text("\r\n".join(lines))


@pytest.fixture
def root(tmp_path):
    for folder in ("Visible", "Thermal", "idx"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "Thumbs.db").touch()
    for trial in range(1, 11):
        people = [(i + trial) % 4 + 1 for i in range(4)]
        write_lists(tmp_path, trial, people[:2], "train")
        write_lists(tmp_path, trial, people[2:], "test")
    return tmp_path


def test_regdb_reader_loads_both_modalities(root):
    dataset = data.load("regdb", root)
    assert [(s.identity, s.camera, s.modality) for s in dataset.train] == [
        *((label, 1, data.VISIBLE) for label in (0, 0, 1, 1)),
        *((label, 2, data.INFRARED) for label in (0, 0, 1, 1)),
    ]
    assert {s.modality for s in dataset.query} == {data.VISIBLE}
    assert {s.modality for s in dataset.gallery} == {data.INFRARED}
    assert dataset.train[0].path == root / image(2, "Visible", 1)
    assert dataset.gallery[0].path == root / image(4, "Thermal", 1)


@pytest.mark.parametrize("trial", range(1, 11))
def test_regdb_reader_uses_the_lists_of_the_trial(trial, root):
    dataset = data.load("regdb", root, trial=trial)
    assert dataset.train[0].path.parent.name == str(trial % 4 + 1)
    assert data.load("regdb", root, trial=np.uint8(trial)) == dataset


def test_regdb_reader_loads_synthetic_views(root):
    (root / "views.json").write_text(json.dumps({image(2, "Thermal", 2): 2}))
    assert [s.view for s in data.load("regdb", root).train] == [*[None] * 5, 2, None, None]


def test_regdb_reader_holds_out_identities(root):
    write_lists(root, 3, range(1, 13), "train")
    dataset = data.load("regdb", root, evaluate_on="val", trial=3)
    assert {s.identity for s in dataset.train} == set(range(10))
    assert [s.identity for s in dataset.query] == [s.identity for s in dataset.gallery]
    assert [(s.identity, s.modality) for s in dataset.query] == [(10, 0), (10, 0), (11, 0), (11, 0)]


@pytest.mark.parametrize("trial", [0, 11, "1", None, True, 1.0, np.array([1, 2]), [1]])
def test_regdb_reader_raises_for_invalid_trial(trial, root):
    with pytest.raises(ValueError, match=r"regdb: trial must be one of 1, 2, .*, 10, got"):
        data.load("regdb", root, trial=trial)


@pytest.mark.parametrize("value", [None, ["regdb"], {}, np.array(["regdb", "msmt17"])])
def test_load_raises_for_names_that_are_not_strings(value, root):
    with pytest.raises(ValueError, match=r"data\.load: name must be one of "):
        data.load(value, root)
    with pytest.raises(ValueError, match="regdb: evaluate_on must be one of 'test', 'val', got "):
        data.load("regdb", root, evaluate_on=value)
    with pytest.raises(ValueError, match="sysu-mm01: train_on must be one of 'train', "):
        data.load("sysu-mm01", root, train_on=value)
    for name, given in (("name", [value, root]), ("preset", ["regdb", root])):
        options = {"preset": value} if name == "preset" else {}
        with pytest.raises(ValueError, match=f"synthesize: {name} must be one of "):
            data.synthesize(*given, **options)


def test_regdb_reader_raises_for_identity_of_one_modality(root):
    write_lists(root, 1, [1, 2], "train")
    path = root / "idx" / "train_thermal_1.txt"
    path.write_text(path.read_text() + "\nThermal/9/male_back_t_1_9.bmp 9")
    with pytest.raises(
        ValueError, match="must have the same identities, got identity 9 in one of them"
    ):
        data.load("regdb", root)


def test_regdb_reader_raises_for_broken_lists(root):
    path = root / "idx" / "test_visible_2.txt"
    path.write_text("Visible/1/male_back_v_1_1.bmp\n")
    with pytest.raises(ValueError, match=r"test_visible_2\.txt must have lines like"):
        data.load("regdb", root, trial=2)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"must hold the list test_visible_2\.txt"):
        data.load("regdb", root, trial=2)
    (root / "Thermal").rename(root / "thermal images")
    with pytest.raises(FileNotFoundError, match="without Thermal; give the folder"):
        data.load("regdb", root)
