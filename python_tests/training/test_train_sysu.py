"""The SYSU-MM01 script: its files, error lines, Ctrl-C and resume."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[2] / "examples" / "train_sysu.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sysu")


def start(folder, *flags):
    environment = {**os.environ, "REID_EXT_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, flags)],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(folder, *flags):
    process = start(folder, *flags)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def finished(folder):
    out = folder / "out"
    code, printed, errors = run(folder, "--quick", "--workers", 0, "--out", out)
    assert code == 0, errors
    return out, printed


def test_script_writes_metrics_figures_and_checkpoint(finished):
    out, printed = finished
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["dataset"] == "sysu-mm01 (embedded)" and metrics["loss"] == "expat"
    assert "mode all, shots 1" in metrics["protocol"] and "mean of 10 trials" in metrics["protocol"]
    headline = [metrics[name] for name in ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP")]
    assert all(0 < value <= 1 for value in headline) and headline[:4] == sorted(headline[:4])
    assert set(metrics["results"]) == {
        f"{mode}, {shots}-shot" for mode in ("all", "indoor") for shots in (1, 10)
    }
    assert metrics["settings"]["iterations"] == 30 and metrics["settings"]["seed"] == 0
    for name in ("cmc.png", "ranked_list.png"):
        assert cv2.imread(str(out / name)).shape[0] > 400
    assert (out / "checkpoint.pt").exists()
    assert not list(out.glob(".*")), "an incomplete file remains"
    assert "rank-1" in printed and f"{100 * metrics['rank1']:9.1f}" in printed


def test_resume_of_a_finished_run_gives_the_same_results(finished, folder):
    out, _ = finished
    before = json.loads((out / "metrics.json").read_text())
    code, _, errors = run(folder, "--quick", "--workers", 0, "--out", out, "--resume")
    after = json.loads((out / "metrics.json").read_text())
    assert code == 0, errors
    assert after["training"]["iterations"] == 0 and after["results"] == before["results"]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--data", "nowhere"], "root must be the folder of the dataset, got nowhere"),
        (["--quick", "--resume", "--out", "new"], "new/checkpoint.pt, which does not exist"),
        (
            ["--quick", "--batch", "99x4"],
            "--batch must have at most 32 identities, as many as the training set, got 99x4",
        ),
    ],
)
def test_script_reports_user_errors_in_one_line(flags, message, folder, finished):
    code, _, errors = run(folder, *flags)
    assert code == 1 and message in errors.splitlines()[-1]
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ["--device", "tpu"],
            "--device must be a device of this machine, got 'tpu'; use cpu",
        ),
        (["--batch", "8"], "--batch must be identities and images"),
        (["--loss", "best"], "expat, got 'best'"),
        (["--device", "cuda:99"], "must be a device of this machine, got 'cuda:99'; use cpu"),
        (["--fraction", "half"], "--fraction must be a finite number > 0 and <= 1, got 'half'"),
        (["--epochs", "0"], "--epochs must be an integer >= 1, got 0"),
    ],
)
def test_script_exits_with_2_for_invalid_flags(flags, message, folder):
    code, _, errors = run(folder, *flags)
    assert code == 2 and message in errors.splitlines()[-1]


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_saves_a_checkpoint_and_reports_progress(number, status, finished, folder):
    data, out = folder / "cache" / "sysu-mm01-tiny", folder / f"stopped-{status}"
    flags = ["--data", data, "--backbone", "small", "--epochs", 500, "--out", out, "--workers", 1]
    process = start(folder, *flags)
    first = process.stderr.readline()
    assert first.startswith("train: "), first
    with pytest.raises(subprocess.TimeoutExpired):  # the training is still running
        process.wait(timeout=5)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "stopped after iteration" in errors.splitlines()[-1] and "Traceback" not in errors
    assert (out / "checkpoint.pt").exists() and not (out / "metrics.json").exists()
