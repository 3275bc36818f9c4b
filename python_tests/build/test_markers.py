"""The tests that each marker selects, and the report of a run without the slow tests."""

import os
import subprocess
import sys
from pathlib import Path

import markers
import pytest

TESTS = """
import pytest

@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    return request.param

@pytest.fixture
def in_processes():
    pass

def test_device(device):
    pass

def test_group(in_processes):
    pass

@pytest.mark.slow
def test_slow():
    pass

@pytest.mark.slow
def test_slower():
    pass
"""
FOLDER = str(Path(markers.__file__).parent)
SETTINGS = "[pytest]\naddopts = --strict-markers\nmarkers =\n  slow\n  cuda\n  distributed\n"
LAST = "3 slow tests were left out; run them with: pytest -m slow"


@pytest.fixture
def selected(tmp_path):
    """Collects the tests above with a marker expression; returns their names and all lines."""
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(SETTINGS)

    def run(expression):
        command = [sys.executable, "-m", "pytest", "-p", "markers", "--collect-only", "-q"]
        done = subprocess.run(
            [*command, "-m", expression],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": FOLDER, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        lines = done.stdout.splitlines()
        return [line.partition("::")[2] for line in lines if "::" in line], lines

    return run


def test_run_without_slow_tests_reports_their_number(selected):
    names, lines = selected("not slow")
    assert names == ["test_device[cpu]", "test_device[cuda]"]
    assert LAST in lines


@pytest.mark.parametrize(
    "expression, names",
    [
        ("cuda", ["test_device[cuda]"]),
        ("distributed", ["test_group"]),
        ("slow", ["test_group", "test_slow", "test_slower"]),
    ],
)
def test_marker_selects_its_tests(expression, names, selected):
    found, lines = selected(expression)
    assert found == names and LAST not in lines
