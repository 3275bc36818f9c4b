"""The smallest runs of the scripts of RegDB, DukeMTMC-reID, CUHK03-NP, MSMT17 and VeRi-776."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "examples"
RUNS = {  # script: loss, own flags, dataset, start of the protocol
    "regdb": (
        "expat",
        ["--trials", 2, 5],
        "regdb",
        "regdb (direction visible_to_thermal): junk none",
    ),
    "dukemtmc": ("bnneck", [], "dukemtmc-reid", "dukemtmc-reid: junk same identity and camera"),
    "cuhk03": ("fidi", ["--boxes", "labeled"], "cuhk03-np", "cuhk03-np: junk same identity"),
    "msmt17": ("va", ["--train-on", "trainval"], "msmt17", "msmt17: junk same identity and camera"),
    "veri776": ("softmax", [], "veri776", "veri776: junk same identity and camera"),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def run(script, folder, cache, *flags):
    environment = {**os.environ, "REID_EXT_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, EXAMPLES / f"train_{script}.py", *map(str, flags)],
        cwd=folder, env=environment, text=True, capture_output=True, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize("script", RUNS)
def test_script_trains_evaluates_and_draws(script, tmp_path, cache):
    loss, own, name, protocol = RUNS[script]
    flags = ("--quick", "--workers", 0, "--loss", loss, "--out", "out", *own)
    done = run(script, tmp_path, cache, *flags)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["dataset"] == f"{name} (embedded)" and metrics["loss"] == loss
    assert metrics["protocol"].startswith(protocol)
    assert 0 < metrics["rank1"] <= metrics["rank5"] <= 1 and 0.05 < metrics["mAP"] < 1
    for figure in ("cmc.png", "ranked_list.png"):
        assert cv2.imread(str(tmp_path / "out" / figure)).shape[0] > 400
    assert f"{100 * metrics['rank1']:9.1f}" in done.stdout
    checkpoints = [f"trial-{t}" for t in own[1:]] if script == "regdb" else ["."]
    assert all((tmp_path / "out" / c / "checkpoint.pt").exists() for c in checkpoints)
    if script == "regdb":
        results = metrics["results"]
        assert results.keys() == {"visible to thermal", "thermal to visible"}
        again = run(script, tmp_path, cache, *flags, "--resume")
        assert again.returncode == 0, again.stderr
        after = json.loads((tmp_path / "out" / "metrics.json").read_text())
        assert after["training"]["iterations"] == 0 and after["results"] == results


@pytest.mark.parametrize("script", RUNS)
def test_script_reports_missing_data_in_one_line(script, tmp_path, cache):
    done = run(script, tmp_path, cache, "--data", "nowhere")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    name = RUNS[script][2]
    assert f"{name}: root must be the folder of the dataset" in done.stderr.splitlines()[-1]
