"""The command line in terminals without Unicode, and with outputs that cannot be written."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import reid_ext

ROOT = Path(reid_ext.__file__).parents[1]
PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
EVALUATE = ["evaluate", "é.npz", "é.npz", "--leave-one-out", "--protocol", "generic", "--json"]
COMMANDS = [["doctor"], ["--help"], EVALUATE]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    features, identities = rng.standard_normal((8, 4), np.float32), np.arange(8) // 2
    np.savez(tmp_path / "é.npz", features=features, identities=identities, cameras=np.arange(8))
    return tmp_path


def ended(folder, arguments, redirection="", environment=(), writer=2):
    """The exit status of the command in a shell, and its output on stderr."""
    shell = f'exec "$0" -m reid_ext.cli "$@" {redirection}'
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "", "PYTHONPATH": str(ROOT), **dict(environment)},
        capture_output=True,
        text=True,
        pass_fds=[writer],
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda a: a[0])
def test_command_reports_a_full_disk_in_one_line(arguments, folder):
    status, err = ended(folder, arguments, "> /dev/full")
    assert status == 1
    assert err.splitlines()[-1].startswith("reid-ext: stdout must be writable, got [Errno 28]")
    assert "Traceback" not in err and "ignored" not in err


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda a: a[0])
def test_command_ends_quietly_if_its_reader_ended(arguments, folder):
    reader, writer = os.pipe()
    os.close(reader)
    status, err = ended(folder, arguments, f"1>&{writer}", writer=writer)
    os.close(writer)
    assert (status, err) == (141, "")


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-"])
def test_command_accepts_closed_outputs(redirection, folder):
    assert ended(folder, EVALUATE[:-1], redirection) == (0, "")


def test_command_prints_escapes_without_unicode(folder):
    status, err = ended(folder, ["evaluate", "没.npz"], environment=PLAIN.items())
    assert status == 1 and err.startswith("reid-ext evaluate: ") and "Traceback" not in err
    ascii_only = {"PYTHONIOENCODING": "ascii"}.items()
    status, err = ended(folder, ["evaluate", "没.npz"], environment=ascii_only)
    assert status == 1 and r"\u6ca1.npz must be a feature file" in err
