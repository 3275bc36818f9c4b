"""Training processes that are killed, raise or hang, and how the run continues."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import squares_in_processes
import torch

from reid_ext.training.job import is_under_way

pytestmark = [pytest.mark.distributed, pytest.mark.slow]
SCRIPT = Path(squares_in_processes.__file__)
PATIENCE = 240  # seconds after which a run on a busy machine counts as hung


def run(out, world_size, *flags, restarts=0):
    """The finished process of torchrun, with its exit status and stderr."""
    launcher = ["-m", "torch.distributed.run", "--standalone"]
    counts = ["--nproc-per-node", str(world_size), "--max-restarts", str(restarts)]
    command = [sys.executable, *launcher, *counts, str(SCRIPT), str(out), *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )


def iteration(out):
    return torch.load(out / "checkpoint.pt", weights_only=True)["iteration"]


def weights(out):
    return torch.load(out / "model.pt", weights_only=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("uninterrupted")
    done = run(out, 2)
    assert done.returncode == 0, done.stderr
    return weights(out)


def test_torchrun_restarts_killed_worker_from_last_checkpoint(uninterrupted, tmp_path):
    done = run(tmp_path, 2, "--fail", "kill", restarts=1)
    assert done.returncode == 0, done.stderr
    assert "Signal 9 (SIGKILL)" in done.stderr or "exitcode: -9" in done.stderr
    assert "train: 12 iterations, resumed after 4" in done.stderr
    got = weights(tmp_path)
    assert got.keys() == uninterrupted.keys()
    assert all(torch.equal(got[name], uninterrupted[name]) for name in got)


def test_run_resumes_with_other_process_count_after_error(uninterrupted, tmp_path):
    done = run(tmp_path, 2, "--fail", "raise")
    assert done.returncode == 1
    assert "RuntimeError: the second process failed" in done.stderr
    assert iteration(tmp_path) == squares_in_processes.SAVE_EVERY
    assert not (tmp_path / "model.pt").exists()
    resumed = run(tmp_path, 3, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    got = weights(tmp_path)
    # Sums of three parts round differently from sums of two. Adam turns a gradient near 0 whose
    # sign flips into a step of the learning rate, so single weights may differ, but not many.
    for name, value in uninterrupted.items():
        difference = (got[name].double() - value.double()).norm()
        assert difference <= 1e-3 * value.double().norm() + 1e-4, name


def test_hanging_process_stops_all_at_the_timeout(tmp_path):
    start = time.monotonic()
    done = run(tmp_path, 2, "--fail", "hang", "--timeout", "20")
    assert done.returncode == 1 and time.monotonic() - start < PATIENCE
    assert re.search("RuntimeError: .*(timeout|Timed out)", done.stderr)
    assert iteration(tmp_path) == squares_in_processes.SAVE_EVERY


def test_is_under_way_is_true_only_after_a_restart(monkeypatch, tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert not is_under_way(checkpoint)  # the process died before the first checkpoint
    checkpoint.touch()
    assert is_under_way(checkpoint)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert not is_under_way(checkpoint)
