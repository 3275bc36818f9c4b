"""The Market-1501 reader: names, junk, distractors, held-out identities and broken folders."""

import json

import pytest

from reid_ext import data


def tree(root, files):
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (root / name).mkdir(parents=True)
    for name in files:
        (root / name).touch()
    return root


REAL = (
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "bounding_box_train/0002_c6s3_000451_03.jpg",
    "bounding_box_train/0007_c3s3_077419_03.JPG",
    "bounding_box_train/Thumbs.db",
    "query/0001_c1s1_001051_00.jpg",
    "bounding_box_test/-1_c1s1_000401_03.jpg",
    "bounding_box_test/0000_c1s1_000151_01.jpg",
    "bounding_box_test/0001_c2s1_000151_01.jpg.jpg",
    "bounding_box_test/Thumbs.db",
)


def facts(samples):
    return [(s.path.name, s.identity, s.camera, s.view, s.modality) for s in samples]


def test_market1501_reader_loads_junk_and_distractors(tmp_path):
    dataset = data.load("market1501", tree(tmp_path, REAL))
    assert dataset.name == "market1501"
    assert facts(dataset.train) == [
        ("0002_c1s1_000451_03.jpg", 2, 1, None, 0),
        ("0002_c6s3_000451_03.jpg", 2, 6, None, 0),
        ("0007_c3s3_077419_03.JPG", 7, 3, None, 0),
    ]
    assert facts(dataset.query) == [("0001_c1s1_001051_00.jpg", 1, 1, None, 0)]
    assert [(s.identity, s.camera) for s in dataset.gallery] == [(-1, 1), (0, 1), (1, 2)]
    assert dataset.gallery[2].path.name.endswith(".jpg.jpg")


def test_market1501_reader_loads_synthetic_views(tmp_path):
    root = tree(tmp_path, REAL)
    (root / "views.json").write_text(json.dumps({"query/0001_c1s1_001051_00.jpg": 2}))
    dataset = data.load("market1501", root)
    assert [s.view for s in dataset.query + dataset.train] == [2, None, None, None]


@pytest.mark.parametrize("content", ["{", "[0, 1]", '{"query/0001_c1s1_001051_00.jpg": 5}'])
def test_market1501_reader_raises_for_invalid_views(content, tmp_path):
    root = tree(tmp_path, REAL)
    (root / "views.json").write_text(content)
    with pytest.raises(ValueError, match=r"views\.json must"):
        data.load("market1501", root)


def test_market1501_reader_holds_out_last_identities(tmp_path):
    names = [
        f"bounding_box_train/{identity:04d}_c{camera}s1_{frame:06d}_01.jpg"
        for identity in range(1, 14)
        for camera in (1, 2)
        for frame in (10, 20)
    ]
    dataset = data.load("market1501", tree(tmp_path, names), evaluate_on="val")
    assert {s.identity for s in dataset.train} == set(range(1, 12))
    assert [(s.identity, s.camera) for s in dataset.query] == [(12, 1), (12, 2), (13, 1), (13, 2)]
    assert all("_000010_" in s.path.name for s in dataset.query)
    assert all("_000020_" in s.path.name for s in dataset.gallery) and len(dataset.gallery) == 4


def test_hold_out_raises_for_too_few_identities(tmp_path):
    message = "the training split must have at least 12 identities for evaluate_on='val', got 2"
    with pytest.raises(ValueError, match=message):
        data.load("market1501", tree(tmp_path, REAL), evaluate_on="val")


def test_market1501_reader_raises_for_unknown_split(tmp_path):
    with pytest.raises(ValueError, match="evaluate_on must be one of 'test', 'val', got 'train'"):
        data.load("market1501", tree(tmp_path, REAL), evaluate_on="train")


def test_market1501_reader_raises_for_missing_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="root must be the folder of the dataset"):
        data.load("market1501", tmp_path / "nowhere")
    (tree(tmp_path, REAL) / "query" / "0001_c1s1_001051_00.jpg").unlink()
    (tmp_path / "query").rmdir()
    with pytest.raises(FileNotFoundError, match="without query; give the folder"):
        data.load("market1501", tmp_path)


@pytest.mark.parametrize("folder", ["bounding_box_train", "query", "bounding_box_test"])
def test_market1501_reader_raises_for_empty_folder(folder, tmp_path):
    tree(tmp_path, [name for name in REAL if not name.startswith(folder)])
    with pytest.raises(ValueError, match=f"{folder} must hold images"):
        data.load("market1501", tmp_path)


def test_market1501_reader_removes_junk_from_train(tmp_path):
    root = tree(tmp_path, [*REAL, "bounding_box_train/-1_c1s1_000451_03.jpg"])
    assert {s.identity for s in data.load("market1501", root).train} == {2, 7}


def test_market1501_reader_raises_for_train_with_junk_only(tmp_path):
    root = tree(tmp_path, [n for n in REAL if not n.startswith("bounding_box_train")])
    for name in ("0000_c1s1_000151_01.jpg", "-1_c1s1_000451_03.jpg"):
        (root / "bounding_box_train" / name).touch()
    with pytest.raises(
        ValueError, match=r"bounding_box_train must .* only junk \(-1\) and distractors \(0\)"
    ):
        data.load("market1501", root)
