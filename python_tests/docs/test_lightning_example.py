"""Runs a few steps of the Lightning example."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "lightning_module.py"


@pytest.mark.slow
def test_example_improves_map_in_a_few_steps(tmp_path):
    pytest.importorskip("lightning")
    pytest.importorskip("torchmetrics")
    done = subprocess.run(
        [sys.executable, EXAMPLE, "--steps", "20", "--out", tmp_path / "out"],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True, capture_output=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, after = map(float, re.search(r"mAP: ([\d.]+) .*, ([\d.]+) after", done.stdout).groups())
    assert after > before + 0.1
