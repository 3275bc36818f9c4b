"""The readers of DukeMTMC-reID, CUHK03-NP and VeRi-776: names, stray files and broken folders."""

import json

import pytest

from reid_ext import data
from reid_ext.data.readers import registry

TREES = {
    "dukemtmc-reid": (
        *("bounding_box_train/0001_c2_f0046182.jpg", "bounding_box_train/0005_c8_f0046985.JPG"),
        *("query/0005_c2_f0046985.jpg.jpg", "bounding_box_test/0000_c1_f0000001.jpg"),
        "bounding_box_test/7140_c7_f0173617.jpg",
    ),
    "cuhk03-np": (
        *(
            "detected/bounding_box_train/0003_c1_21.png",
            "detected/bounding_box_train/1258_c4_8.PNG",
        ),
        *("detected/query/0001_c1_01.jpg", "detected/bounding_box_test/0001_c10_1.png"),
        "detected/bounding_box_test/0001_c2_6.png",
    ),
    "veri776": (
        *("image_train/0001_c001_00016450_0.jpg", "image_train/0004_c020_00084645_12.JPG"),
        *("image_query/0002_c002_00030600_0.jpg", "image_test/0002_c003_00034810_0.jpg.jpg"),
        "image_test/0002_c014_00034810_1.jpg",
    ),
}
FACTS = {  # identity and camera, by file name
    "dukemtmc-reid": ([(1, 2), (5, 8)], [(5, 2)], [(0, 1), (7140, 7)]),
    "cuhk03-np": ([(3, 1), (1258, 4)], [(1, 1)], [(1, 10), (1, 2)]),
    "veri776": ([(1, 1), (4, 20)], [(2, 2)], [(2, 3), (2, 14)]),
}
STRAY = ("Thumbs.db", ".DS_Store", "._0001_c1_f0046182.jpg", "readme.txt", "list.mat")

each = pytest.mark.parametrize("name", TREES)


@pytest.fixture
def root(tmp_path, name):
    for file in TREES[name]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
        for stray in STRAY:
            (tmp_path / file).with_name(stray).touch()
    return tmp_path


@each
def test_reader_loads_file_names_and_ignores_stray_files(name, root):
    dataset = data.load(name, root)
    assert dataset.name == name
    for samples, facts in zip(dataset[1:], FACTS[name], strict=True):
        assert [(s.identity, s.camera) for s in samples] == facts
        assert all(s.view is None and s.modality == data.VISIBLE for s in samples)
    assert dataset.query[0].path == root / TREES[name][2]


@each
def test_reader_loads_synthetic_views(name, root):
    (root / "views.json").write_text(json.dumps({TREES[name][2]: 2, TREES[name][0]: 1}))
    dataset = data.load(name, root)
    assert [s.view for s in dataset.train + dataset.query] == [1, None, 2]


@each
@pytest.mark.parametrize("odd", ["0001.jpg", "0001_c1_f0046182 (copy).jpg", "x_c1_1.png"])
def test_reader_raises_for_invalid_file_name(name, root, odd):
    (root / TREES[name][2]).with_name(odd).touch()
    with pytest.raises(ValueError) as error:
        data.load(name, root)
    assert f"{name}: " in str(error.value) and odd in str(error.value)
    assert "must hold images named like" in str(error.value)


@pytest.mark.parametrize(
    "name, odd, cameras",
    [
        ("market1501", "0001_c7s1_000151_01.jpg", "cameras 1 to 6"),
        ("dukemtmc-reid", "0001_c9_f0046182.jpg", "cameras 1 to 8"),
        ("cuhk03-np", "0001_c0_01.png", "cameras 1 to 10"),
        ("veri776", "0001_c021_00016450_0.jpg", "cameras 1 to 20"),
    ],
)
def test_reader_raises_for_unknown_camera(name, odd, cameras, tmp_path):
    module = registry.MODULES[name]
    folders = ("detected/bounding_box_train", "detected/query", "detected/bounding_box_test")
    for folder in folders if name == "cuhk03-np" else module.LAYOUT.folders:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / odd).touch()
    with pytest.raises(ValueError, match=rf"{cameras}\), got {odd}"):
        data.load(name, tmp_path)


@each
def test_reader_raises_for_missing_folders(name, root):
    with pytest.raises(FileNotFoundError, match=f"{name}: root must be the folder of the dataset"):
        data.load(name, root / "nowhere")
    folder = (root / TREES[name][2]).parent
    folder.rename(root / "elsewhere")
    missing = folder.relative_to(root)
    with pytest.raises(FileNotFoundError, match=f"without {missing}; give the folder"):
        data.load(name, root)


@each
def test_reader_raises_for_empty_folder(name, root):
    (root / TREES[name][2]).unlink()
    with pytest.raises(ValueError, match=r"must hold images named like .*, got no images; unpack"):
        data.load(name, root)


@each
def test_reader_holds_out_last_identities(name, root):
    first = root / TREES[name][0]
    for identity in range(11, 23):
        rest = first.name[4:]
        (first.parent / f"{identity:04d}{rest}").touch()
    dataset = data.load(name, root, evaluate_on="val")
    held_out = {s.identity for s in dataset.query}
    everyone = {s.identity for s in data.load(name, root).train}
    assert len(held_out) == 14 // 6 and min(held_out) > max(s.identity for s in dataset.train)
    assert held_out | {s.identity for s in dataset.train} == everyone


@each
def test_reader_raises_for_unknown_arguments(name, root):
    with pytest.raises(
        ValueError, match=f"{name}: evaluate_on must be one of 'test', 'val', got 'x'"
    ):
        data.load(name, root, evaluate_on="x")
    with pytest.raises(ValueError, match=f"{name} must be among evaluate_on.*, got fold"):
        data.load(name, root, fold=1)


def test_cuhk03_has_two_kinds_of_boxes(tmp_path):
    for boxes, count in (("detected", 1), ("labeled", 2)):
        for folder in ("bounding_box_train", "query", "bounding_box_test"):
            (tmp_path / boxes / folder).mkdir(parents=True)
            for image in range(count):
                (tmp_path / boxes / folder / f"0001_c1_{image:02d}.png").touch()
    assert len(data.load("cuhk03-np", tmp_path).train) == 1
    assert len(data.load("cuhk03-np", tmp_path, boxes="labeled").train) == 2
    with pytest.raises(ValueError, match="boxes must be one of 'detected', 'labeled', got"):
        data.load("cuhk03-np", tmp_path, boxes="labelled")


def test_load_raises_for_unknown_dataset(tmp_path):
    with pytest.raises(ValueError, match=r"name must be one of 'sysu-mm01', .*, got 'duke'"):
        data.load("duke", tmp_path)
