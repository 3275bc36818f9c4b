"""A training script under torchrun: two processes give the results of one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.distributed, pytest.mark.slow]
EXAMPLES = Path(__file__).parents[2] / "examples"


def train(out, processes, *flags, script="train_market1501.py"):
    """The metrics and the finished process of a quick run."""
    command = [sys.executable, str(EXAMPLES / script), "--quick", "--workers", "0"]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone"]
        command[1:1] = [*launcher, "--nproc-per-node", str(processes)]
    command += ["--device", "cpu", "--precision", "float32", "--out", str(out), *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "REID_EXT_CACHE": str(out.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads((out / "metrics.json").read_text()), done


@pytest.mark.parametrize("script, loss", [("market1501", "expat")])
def test_two_processes_give_the_results_of_one(script, loss, tmp_path):
    name = f"train_{script}.py"
    alone, _ = train(tmp_path / "1", 1, "--loss", loss, script=name)
    both, output = train(tmp_path / "2", 2, "--loss", loss, script=name)
    for part, value in alone["training"]["losses"].items():  # rounding grows over 30 iterations
        assert both["training"]["losses"][part] == pytest.approx(value, rel=0.02)
    assert both["mAP"] == pytest.approx(alone["mAP"], abs=0.05)
    assert output.stdout.count("mINP") == 1 and output.stderr.count("train: 30 iterations") == 1
    # One process can resume the checkpoint of two, and has nothing left to train.
    again, _ = train(tmp_path / "2", 1, "--loss", loss, "--resume", script=name)
    assert again["training"]["iterations"] == 0 and again["mAP"] == both["mAP"]
