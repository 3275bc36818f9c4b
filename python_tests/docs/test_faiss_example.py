"""Runs the example of approximate search on a small gallery."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "faiss_search.py"


@pytest.mark.slow
def test_rescoring_finds_more_than_the_index_alone():
    pytest.importorskip("faiss")
    flags = ["--gallery", "20000", "--lists", "32", "--visited", "8"]
    done = subprocess.run(
        [sys.executable, EXAMPLE, *flags],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    alone, rescored = map(float, re.findall(r"recall.* ([\d.]+)\n", done.stdout))
    assert alone < rescored and rescored > 0.8


@pytest.mark.slow
def test_example_prints_one_line_without_faiss(tmp_path):
    (tmp_path / "faiss.py").write_text("raise ImportError('not installed')")
    places = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, EXAMPLE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        "error: faiss_search: faiss is required; install it with pip install faiss-cpu\n"
    )
