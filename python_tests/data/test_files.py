"""The account of a dataset's files: every image is used, or left out for a reason."""

import json
import shutil

import cv2
import numpy as np
import pytest

from reid_ext import ArgumentError, data
from reid_ext.cli import main

ENDING = {".jpg": ".jpg", ".jpeg": ".jpg", ".png": ".png", ".JPG": ".jpg"}
IMAGES = ("train/1/a.jpg", "train/2/b.png", "query/3/c.JPG", "gallery/3/d.jpeg")


def draw(root, *files):
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        ending = ENDING.get(path.suffix, ".png")
        path.write_bytes(cv2.imencode(ending, np.full((8, 4, 3), 99, np.uint8))[1].tobytes())
    return root


def account(root, name="folders", **split):
    found = data.files(data.load(name, root, **split), root, **split)
    left_out = [*found.left_out.values(), *found.unexpected.values()]
    assert found.seen == found.used + sum(map(len, left_out))
    return found


def test_files_counts_used_images(tmp_path):
    found = account(draw(tmp_path, *IMAGES))
    assert str(found) == "files: 4 images seen, 4 used, none left out"


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("train/1/day2/e.jpg", "images below the folders that the reader opens"),
        ("train/e.jpg", "images in folders that the reader does not open"),
        ("e.jpg", "images in folders that the reader does not open"),
        ("val/1/e.jpg", "images in folders that the reader does not open"),
        ("train/1/e.webp", "images in a format that the readers ignore"),
        ("train/1/e.TIF", "images in a format that the readers ignore"),
        ("train/1/e.jpg_large", "JPEG or PNG images without their suffix"),
        ("train/1/e", "JPEG or PNG images without their suffix"),
    ],
)
def test_files_reports_unexpected_images(file, problem, tmp_path):
    root = draw(tmp_path, *IMAGES, file)
    found = account(root)
    assert {why: list(paths) for why, paths in found.unexpected.items()} == {problem: [root / file]}
    report = data.check("folders", root)
    assert not report.ok
    assert next(f.message for f in report.findings if f.level == "error").startswith(
        f"left out: {problem} (1): {file}; "
    )


@pytest.mark.parametrize("file", ["train/1/._a.jpg", "@eaDir/a.jpg", "__MACOSX/train/1/a.jpg"])
def test_files_counts_hidden_and_system_files(file, tmp_path):
    found = account(draw(tmp_path, *IMAGES, file))
    assert str(found).endswith("4 used; left out: hidden and system files (1)")
    assert data.check("folders", tmp_path).ok


def test_files_follows_links(tmp_path):
    root = draw(tmp_path / "root", *IMAGES)
    draw(tmp_path, "far/e.jpg", "far/f.jpg")
    (root / "train" / "4").symlink_to(tmp_path / "far")
    (root / "train" / "1" / "up").symlink_to(root)  # a loop
    found = account(root)
    assert (found.seen, found.used) == (6, 6) and data.check("folders", root).ok


@pytest.mark.parametrize("place", ["train/4", "train/1/e.jpg"])
def test_check_reports_broken_links(place, tmp_path):
    root = draw(tmp_path, *IMAGES)
    (root / place).symlink_to(tmp_path / "gone")
    report = data.check("folders", root)
    messages = [f.message for f in report.findings if f.level == "error"]
    assert len(messages) == 1 and f"(1): {place}" in messages[0].replace("missing:", "(1):")


def test_check_reports_links_from_train_to_query(tmp_path):
    root = draw(tmp_path, *IMAGES)
    (root / "train" / "4").symlink_to(root / "query" / "3")
    report = data.check("folders", root)
    assert "images must be in either train or test, got 1 in both" in str(report.findings)


@pytest.mark.parametrize("names", [("Train", "Query", "GALLERY"), ("train", "QUERY", "gallery")])
def test_folders_reader_compares_splits_without_case(names, tmp_path):
    root = draw(tmp_path, *IMAGES)
    for split, name in zip(("train", "query", "gallery"), names, strict=True):
        (root / split).rename(root / name)
    dataset = data.load("folders", root)
    assert [len(samples) for samples in dataset[1:]] == [2, 1, 1]
    assert data.check("folders", root).ok


def test_folders_reader_raises_for_the_same_split_twice(tmp_path):
    draw(tmp_path, *IMAGES, "Train/5/e.jpg")
    with pytest.raises(ArgumentError, match="must hold one folder train, got Train and train"):
        data.load("folders", tmp_path)


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("cam7/0001/0001.jpg", "images in folders that the reader does not open"),
        ("cam1/0001/00003.jpg", "images beside those in use, unlisted or named otherwise"),
        ("cam1/0001/0009.png", "images beside those in use, unlisted or named otherwise"),
        ("cam1/0001/more/0001.jpg", "images below the folders that the reader opens"),
    ],
)
def test_check_accounts_for_images_of_sysu(file, why, tmp_path):
    root = data.synthesize("sysu-mm01", tmp_path / "sysu", preset="tiny")
    found = account(root, "sysu-mm01")
    assert found.unexpected == {} and sum(map(len, found.left_out.values())) == 160
    shutil.copy(data.load("sysu-mm01", root).train[0].path, draw(root, file) / file)
    assert account(root, "sysu-mm01").unexpected == {why: [root / file]}
    assert not data.check("sysu-mm01", root, images=False).ok


def test_market1501_counts_a_person_0_in_train(tmp_path):
    name = "{:04d}_c{}s1_000001_01.jpg"
    train = [f"bounding_box_train/{name.format(i, c)}" for i in range(3) for c in (1, 2)]
    tested = [f"query/{name.format(5, 1)}", f"bounding_box_test/{name.format(5, 2)}"]
    report = data.check("market1501", draw(tmp_path, *train, *tested))
    assert report.ok and report.splits["train"].images == 4
    assert str(report.files).endswith("left out: junk (-1) and distractors (0) in train (2)")
    warning = next(f.message for f in report.findings if f.level == "warning" and f.paths)
    assert warning.startswith("left out: junk (-1) and distractors (0) in train (2): bounding_")


@pytest.mark.parametrize("kind", ["folders", "manifest"])
def test_training_leaves_out_junk_and_distractors(kind, tmp_path):
    labels = ("-1", "0000", "unknown", "anna", "bert")
    files = [f"train/{label}/a.jpg" for label in labels] + [
        "query/carl/a.jpg",
        "gallery/carl/b.jpg",
    ]
    root = draw(tmp_path, *files)
    if kind == "manifest":
        rows = [f"{file},{file.split('/')[0]},{file.split('/')[1]}" for file in files]
        root = tmp_path / "list.csv"
        root.write_text("\n".join(["path,split,identity", *rows]))
    dataset = data.load(kind, root)
    assert [(s.identity, s.label) for s in dataset.train] == [(1, "anna"), (2, "bert")]
    assert {why: len(paths) for why, paths in dataset.left_out.items()} == {
        "junk (-1) and distractors (0) in train": 3
    }
    assert data.numbers_of_labels(dataset) == {"anna": 1, "bert": 2, "carl": 3}


def test_check_command_prints_the_sum_and_the_numbers(tmp_path, capsys):
    files = ("train/anna/a.jpg", "query/bert/a.jpg", "gallery/bert/b.jpg", "gallery/c.jpg")
    root = draw(tmp_path, *files)
    assert main(["data", "check", "folders", str(root), "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["numbers"] == {"anna": 1, "bert": 2}
    assert (facts["files"]["seen"], facts["files"]["used"]) == (4, 3)
    assert main(["data", "check", "folders", str(root)]) == 1
    lines = capsys.readouterr().out
    assert "identities are numbered: anna = 1, bert = 2;" in lines
    assert "files: 4 images seen, 3 used; left out: images in folders that the reader does" in lines
