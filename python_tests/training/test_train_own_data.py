"""The scripts of LLCM, VehicleID and own images, on small folders that the tests create."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from reid_ext import data

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ("--quick", "--workers", 0, "--backbone", "small", "--batch", "4x2", "--out", "out")


def run(script, folder, *flags):
    return subprocess.run(
        [sys.executable, EXAMPLES / f"train_{script}.py", *map(str, flags)],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True, capture_output=True,
        timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A synthetic dataset with visible and infrared images."""
    root = tmp_path_factory.mktemp("people") / "regdb"
    return data.load("regdb", data.synthesize("regdb", root, preset="tiny"))


def llcm(people, root):
    """Write the folders of LLCM, with cameras 1 and 2 alternating in both modalities."""
    (root / "idx").mkdir(parents=True)
    for modality, kind in data.llcm.KINDS.items():
        lines = []
        for number, s in enumerate(s for s in people.train if s.modality == modality):
            path = f"{kind}/{s.identity:04d}/{s.identity:04d}_c0{number % 2 + 1}_{number}.jpg"
            lines.append(f"{path} {s.identity}\n")
            copy(s.path, root / path)
        (root / "idx" / f"train_{kind}.txt").write_text("".join(lines))
        tested = people.gallery if modality else people.query
        for number, s in enumerate(tested):
            folder = root / f"test_{kind}" / f"cam{number % 2 + 1}" / f"{s.identity + 900:04d}"
            copy(s.path, folder / f"{number}.jpg")
    ids = sorted({s.identity + 900 for s in people.query})
    (root / "idx" / "test_id.txt").write_text(",".join(map(str, ids)))


def vehicleid(people, root):
    (root / "train_test_split").mkdir(parents=True)
    visible = [s for s in people.train if s.modality == data.VISIBLE]
    for name, samples, first in (
        ("train_list", visible, 0),
        ("test_list_800", people.query, len(visible)),
    ):
        lines = []
        for number, s in enumerate(samples, start=first):
            copy(s.path, root / "image" / f"{number:07d}.jpg")
            lines.append(f"{number:07d} {s.identity + first}\n")
        (root / "train_test_split" / f"{name}.txt").write_text("".join(lines))


def folders(people, root):
    visible = [s for s in people.train if s.modality == data.VISIBLE]
    halves = [s for n, s in enumerate(people.query) if n % 2], people.query[::2]
    for split, samples in zip(("train", "query", "gallery"), (visible, *halves), strict=True):
        for number, s in enumerate(samples):
            copy(s.path, root / split / f"person {s.identity}" / f"{number}.jpg")


def copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), cv2.imread(str(source)))


TREES = {"llcm": llcm, "vehicleid": vehicleid, "folders": folders}
PROTOCOLS = {
    "llcm": "llcm (draw official): junk same identity and camera",
    "vehicleid": "vehicleid (trials 10, seed 0): junk none",
    "folders": "generic: junk none",
}


def check(out, stdout, name, protocol):
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["dataset"] == name and metrics["protocol"].startswith(protocol)
    assert 0 < metrics["rank1"] <= metrics["rank5"] <= 1 and 0.05 < metrics["mAP"] <= 1
    for figure in ("cmc.png", "ranked_list.png"):
        assert cv2.imread(str(out / figure)).shape[0] > 400
    assert f"{100 * metrics['rank1']:9.1f}" in stdout
    return metrics


@pytest.mark.parametrize("script", TREES)
def test_script_trains_evaluates_and_draws(script, people, tmp_path):
    TREES[script](people, tmp_path / "tree")
    flags = ("--data", "tree", "--loss", "triplet", "--cache", "cache")
    done = run(script, tmp_path, *flags, *SMALL)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "cache").iterdir())) == 1
    metrics = check(tmp_path / "out", done.stdout, script, PROTOCOLS[script])
    if script == "llcm":
        assert metrics["results"].keys() == {"infrared to visible", "visible to infrared"}


def test_manifest_with_two_modalities_cameras_and_views(people, tmp_path):
    rows = [
        [s.path, split, f"{split == 'train'}{s.identity}", s.camera, number % 3, s.modality]
        for split in ("train", "query", "gallery")
        for number, s in enumerate(getattr(people, split))
    ]
    with open(tmp_path / "list.csv", "w", newline="") as file:
        titles = ["path", "split", "identity", "camera", "view", "modality"]
        csv.writer(file).writerows([titles, *rows])
    done = run("folders", tmp_path, "--data", "list.csv", "--loss", "va", *SMALL)
    assert done.returncode == 0, done.stderr
    metrics = check(tmp_path / "out", done.stdout, "manifest", "dukemtmc-reid: junk same identity")
    assert metrics["settings"]["modalities"] == 2


def test_explicit_iterations_are_not_scaled_and_views_reported(people, tmp_path):
    TREES["folders"](people, tmp_path / "tree")
    flags = ("--data", "tree", "--loss", "va", "--set", "iterations=3")
    done = run("folders", tmp_path, *flags, *SMALL)
    assert done.returncode == 0 and "done, 3/3 iterations" in done.stderr
    assert "Schedule: 3 iterations; warm-up 1; " in done.stdout
    assert "warning: the loss va needs view labels, and no training image has one" in done.stderr
    done = run("folders", tmp_path, *flags, "--epochs", 2, *SMALL)
    assert "--epochs must be left out if settings has iterations" in done.stderr


def test_angles_fail_before_training_without_matplotlib(people, tmp_path, monkeypatch):
    TREES["folders"](people, tmp_path / "tree")
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "matplotlib.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"), prepend=os.pathsep)
    done = run("folders", tmp_path, "--data", "tree", "--angles", *SMALL)
    assert done.returncode == 1 and "angles: figures need matplotlib, which is not" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("script", TREES)
def test_script_raises_for_missing_data(script, tmp_path):
    done = run(script, tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: --data must be ")
    done = run(script, tmp_path, "--data", "nowhere")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"{script}: root must be the folder of the dataset" in done.stderr.splitlines()[-1]
