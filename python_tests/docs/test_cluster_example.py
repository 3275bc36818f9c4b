"""Runs the clustering example with its smallest settings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "cluster_pseudo_labels.py"


@pytest.mark.slow
def test_example_clusters_identities_not_seen_in_training(tmp_path):
    pytest.importorskip("sklearn")
    environment = {**os.environ, "REID_EXT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, EXAMPLE, "--quick", "--workers", "0", "--out", tmp_path / "out"],
        cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    right, found, chance = map(float, re.findall(r"([\d.]+)%", done.stdout))
    assert right > 2 * chance and found > 2 * chance
