"""The smallest runs of the Market-1501 script and of the examples for losses and ensembles."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script, folder, *flags):
    environment = {**os.environ, "REID_EXT_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, EXAMPLES / script, *map(str, flags)],
        cwd=folder, env=environment, text=True, capture_output=True, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize("loss", ["va", "expat_center"])
def test_script_trains_evaluates_and_draws(loss, tmp_path):
    out = tmp_path / "out"
    done = run(
        "train_market1501.py", tmp_path, *("--quick", "--workers", 0, "--loss", loss, "--out", out)
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["dataset"] == "market1501 (embedded)" and metrics["loss"] == loss
    assert "same identity and camera, gallery identity -1" in metrics["protocol"]
    assert "ignored" in metrics["protocol"]
    assert 0.2 < metrics["rank1"] <= metrics["rank5"] <= 1 and 0.1 < metrics["mAP"] < 1
    for name in ("cmc.png", "ranked_list.png"):
        assert cv2.imread(str(out / name)).shape[0] > 400
    assert f"{100 * metrics['rank1']:9.1f}" in done.stdout


def test_script_runs_with_many_options(tmp_path):
    out = tmp_path / "out"
    (tmp_path / "views.csv").write_text("path,view\nof_no_image.jpg,side\n")
    done = run(
        "train_market1501.py",
        tmp_path,
        *("--quick", "--workers", 0, "--loss", "va_local", "--out", out, "--batch", "4x4"),
        *("--evaluate-on", "val", "--validate-every", 4, "--by-viewpoint", "--profile"),
        *("--rerank", "--views", "views.csv"),
        *("--set", "average=0.9", "parts=2", "view_gamma=0.3", "--fraction", 0.7),
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    settings = metrics["settings"]
    assert settings["stripes"] == 3 and settings["view_gamma"] == 0.3 and settings["parts"] == 2
    kinds = [f"{k}-viewpoint, {v}" for k in ("single", "cross") for v in ("front", "side", "back")]
    assert list(metrics["results"]) == ["market1501", "market1501, re-ranked", *kinds]
    assert "mAP on val" in done.stdout and re.search(r"0.7: \d+ of \d+ training", done.stdout)
    assert re.search(r"views.csv: views of (\d+) of \1 training images", done.stdout)
    assert {"best.pt", "checkpoint.pt", "trace.json"} <= {p.name for p in out.iterdir()}


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ["--set", "view_gama=1"],
            "--set must name settings of the recipe, got 'view_gama'; did you mean 'view_gamma'?",
        ),
        (
            ["--batch", "4x1", "--loss", "expat"],
            "--batch must have at least two images of an identity for the loss expat, got 4x1",
        ),
        (
            ["--views", "nowhere.csv"],
            "error: --views must be a file, got nowhere.csv, which does not exist",
        ),
        (["--views", "empty.csv"], "error: views: empty.csv must have "),
    ],
)
def test_script_reports_invalid_settings_in_one_line(flags, message, tmp_path):
    (tmp_path / "empty.csv").touch()
    done = run("train_market1501.py", tmp_path, "--quick", *flags)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert message in done.stderr.splitlines()[-1]


def test_script_reports_missing_data_in_one_line(tmp_path):
    done = run("train_market1501.py", tmp_path, "--data", "nowhere")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "market1501: root must be the folder of the dataset" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("loss", ["fidi", "expat", "triplet", "ntxent"])
def test_plug_in_loss_example_learns(loss, tmp_path):
    if loss == "ntxent":
        pytest.importorskip("pytorch_metric_learning", reason="needs pytorch-metric-learning")
    done = run("plug_in_loss.py", tmp_path, "--loss", loss, "--steps", 60)
    assert done.returncode == 0, done.stderr
    before, after = map(float, re.findall(r"mAP \w+: +([\d.]+)", done.stdout))
    assert after > before + 0.1


def test_ensemble_example_combines_parts(tmp_path):
    for part in ("top", "bottom"):
        flags = ("--quick", "--workers", 0, "--set", f"part={part}", "--out", part, "--angles")
        pytest.importorskip("matplotlib")
        done = run("train_market1501.py", tmp_path, *flags)
        assert done.returncode == 0, done.stderr
        medians = json.loads((tmp_path / part / "angles.json").read_text())["median degrees"]
        assert medians["positive"] < medians["negative"]
    done = run("ensemble.py", tmp_path, "top", "bottom")
    assert done.returncode == 0, done.stderr
    rank1 = {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()[1:]}
    assert rank1.keys() == {"top", "bottom", "all"}
    assert rank1["all"] > min(
        rank1["top"], rank1["bottom"]
    )  # the top third alone distinguishes few identities
    for part in ("top", "bottom"):  # the script evaluates each network on its own part
        trained = json.loads((tmp_path / part / "metrics.json").read_text())["rank1"]
        assert rank1[part] == pytest.approx(
            100 * trained, abs=5
        )  # the script may use bfloat16, the example float32
    done = run("ensemble.py", tmp_path, "top", "nowhere")
    assert done.returncode == 1 and "RUN must be the output folder" in done.stderr


@pytest.mark.parametrize(
    "metrics, message",
    [
        ("x", "RUN must be the output folder of a training, got odd whose metrics.json has"),
        ("{}", "RUN must be the output folder of a training, got odd whose metrics.json has"),
        (
            '{"dataset": "sysu-mm01 x", "settings": {}}',
            "RUN must be a run on one of market1501, dukemtmc-reid, ",
        ),
    ],
)
def test_ensemble_example_reports_other_folders_in_one_line(metrics, message, tmp_path):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "metrics.json").write_text(metrics)
    done = run("ensemble.py", tmp_path, "odd")
    assert done.returncode == 1 and f"error: {message}" in done.stderr
    assert done.stderr.count("\n") == 1
