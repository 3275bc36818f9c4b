"""The MSMT17 reader: both versions, lists, cameras and broken lists."""

import json

import pytest

from reid_ext import data

LISTS = {
    "train": [
        "0000/0000_000_01_0303morning_0008_0.jpg 0",
        "0001/0001_004_15_0303noon_0033_0.JPG 1",
    ],
    "val": ["0000/0000_001_02_0303morning_0015_1.jpg 0"],
    "query": ["0000/0000_002_03_0303morning_0020_0_ex.jpg 0"],
    "gallery": ["0000/0000_003_04_0303morning_0021_0.jpg 0", "0002/0002_000_14_0113_0021_2.jpg 2"],
}


def write_lists(root, **changes):
    for split, lines in {**LISTS, **changes}.items():
        (root / f"list_{split}.txt").write_text("\n".join(lines) + "\n\n")


@pytest.fixture(params=[("train", "test"), ("mask_train_v2", "mask_test_v2")], ids=["V1", "V2"])
def root(request, tmp_path):
    for folder in request.param:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "Thumbs.db").touch()
    write_lists(tmp_path)
    return tmp_path


def facts(samples):
    return [(s.identity, s.camera) for s in samples]


def test_msmt17_reader_loads_both_versions(root):
    dataset = data.load("msmt17", root)
    train_folder = "train" if (root / "train").is_dir() else "mask_train_v2"
    assert dataset.train[0].path == root / train_folder / LISTS["train"][0].split()[0]
    assert dataset.query[0].path.parts[-3] == train_folder.replace("train", "test")
    assert facts(dataset.train) == [(0, 1), (1, 15)]
    assert facts(dataset.query) == [(0, 3)] and facts(dataset.gallery) == [(0, 4), (2, 14)]


def test_msmt17_reader_adds_val_to_train(root):
    dataset = data.load("msmt17", root, train_on="trainval")
    assert facts(dataset.train) == [(0, 1), (1, 15), (0, 2)]


def test_msmt17_reader_loads_synthetic_views(root):
    folder = "test" if (root / "test").is_dir() else "mask_test_v2"
    image = LISTS["gallery"][1].split()[0]
    (root / "views.json").write_text(json.dumps({f"{folder}/{image}": 2}))
    assert [s.view for s in data.load("msmt17", root).gallery] == [None, 2]


def test_msmt17_reader_holds_out_identities(root):
    train = [f"{i:04d}/{i:04d}_000_01_x_0_0.jpg {i}" for i in range(12)]
    val = [f"{i:04d}/{i:04d}_001_02_x_0_0.jpg {i}" for i in range(12)]
    write_lists(root, train=train, val=val)
    dataset = data.load("msmt17", root, evaluate_on="val", train_on="trainval")
    assert {s.identity for s in dataset.train} == set(range(10)) and len(dataset.train) == 20
    assert facts(dataset.query) == [(10, 1), (11, 1), (10, 2), (11, 2)]


@pytest.mark.parametrize(
    "line, message",
    [
        (
            "0000/0000_000_01_x_0_0.jpg",
            r"lines like 'folder/image.jpg 12' .*, got '0.* in line 2",
        ),
        ("0000/0000_000_01_x_0_0.jpg one", "in line 2"),
        ("0000/a b_000_01_x_0_0.jpg 3", "in line 2"),
        ("0000/0000_000_16_x_0_0.jpg 3", "with a camera from 1 to 15 as third field, got '0000/"),
        ("0000/0000.jpg 3", "must be named like"),
    ],
)
def test_msmt17_reader_raises_for_invalid_line(line, message, root):
    write_lists(root, query=[LISTS["query"][0], line])
    with pytest.raises(ValueError, match=f"list_query.txt.*{message}"):
        data.load("msmt17", root)


def test_msmt17_reader_raises_for_missing_or_empty_list(root):
    write_lists(root, gallery=[])
    with pytest.raises(
        ValueError, match=r"list_gallery\.txt must list at least one image, got an empty file"
    ):
        data.load("msmt17", root)
    (root / "list_gallery.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"must hold the list list_gallery\.txt, got a folder without"
    ):
        data.load("msmt17", root)


def test_msmt17_reader_raises_for_missing_folders(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(FileNotFoundError, match="without test; give the folder"):
        data.load("msmt17", tmp_path)


@pytest.mark.parametrize("argument", ["train_on", "evaluate_on"])
def test_msmt17_reader_raises_for_unknown_split(argument, root):
    with pytest.raises(ValueError, match=f"msmt17: {argument} must be .*, got 'all'"):
        data.load("msmt17", root, **{argument: "all"})
