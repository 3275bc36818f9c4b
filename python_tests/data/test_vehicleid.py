"""The VehicleID reader: lists, and the samples that all trials draw from."""

import re

import pytest
from cli_cases import typed

from reid_ext import ArgumentError, data


@pytest.fixture
def vehicleid(tmp_path):
    (tmp_path / "image").mkdir()
    (tmp_path / "train_test_split").mkdir()
    lists = {"train_list": "0000001 14\n0000002 14\n0000007 3\n", "test_list_800": "0042404 5\n"}
    for name, lines in lists.items():
        (tmp_path / "train_test_split" / f"{name}.txt").write_text(lines)
    return tmp_path


def test_vehicleid_reader_loads_all_splits(vehicleid):
    dataset = data.load("vehicleid", vehicleid)
    assert [(s.path.name, s.identity, s.camera) for s in dataset.train] == [
        *(("0000001.jpg", 14, 0), ("0000002.jpg", 14, 0), ("0000007.jpg", 3, 0))
    ]
    assert dataset.query == dataset.gallery
    assert dataset.query[0].path == vehicleid / "image" / "0042404.jpg"
    with pytest.raises(FileNotFoundError, match=r"must hold the list test_list_2400\.txt"):
        data.load("vehicleid", vehicleid, size=2400)
    with pytest.raises(ValueError, match=r"size must be one of 800, 1600, .*, got 801"):
        data.load("vehicleid", vehicleid, size=801)


def test_check_reports_counts_and_images_of_vehicleid(vehicleid):
    messages = [
        finding.message for finding in data.check("vehicleid", vehicleid, official=True).findings
    ]
    assert any("train must have 13,164 identities, got 2; compare" in m for m in messages)
    assert any("4 images are missing" in message for message in messages)


def test_vehicleid_reader_holds_out_vehicles(vehicleid):
    lines = "".join(f"{10 * v + i:07d} {v}\n" for v in range(12) for i in range(3))
    (vehicleid / "train_test_split" / "train_list.txt").write_text(lines)
    dataset = data.load("vehicleid", vehicleid, evaluate_on="val")
    assert {s.identity for s in dataset.train} == set(range(10))
    assert len(dataset.query) == 6 and dataset.query == dataset.gallery


def test_check_prints_the_evaluation_of_vehicleid(vehicleid, capsys):
    lines = "0042404 5\n0042405 5\n0042406 5\n0042500 8\n0042501 8\n"
    (vehicleid / "train_test_split" / "test_list_800.txt").write_text(lines)
    _, out, _ = typed(capsys, "data", "check", "vehicleid", vehicleid, "--fast")
    assert "evaluation: vehicleid: 3 queries x 2 gallery images in each trial; 3 queries" in out


@pytest.mark.parametrize("ending", [".jpg", ".JPG", ".jpeg"])
def test_vehicleid_reader_accepts_lists_with_endings(ending, vehicleid):
    path = vehicleid / "train_test_split" / "train_list.txt"
    before = data.load("vehicleid", vehicleid).train
    path.write_text(re.sub(r"^(\d+)", rf"\1{ending}", path.read_text(), flags=re.MULTILINE))
    assert data.load("vehicleid", vehicleid).train == before


def test_vehicleid_reader_shows_a_line_of_its_lists(vehicleid):
    (vehicleid / "train_test_split" / "train_list.txt").write_text("0000001,5\n")
    with pytest.raises(
        ArgumentError, match=r"lines like '0000001 12' .* got '0000001,5' in line 1"
    ):
        data.load("vehicleid", vehicleid)
