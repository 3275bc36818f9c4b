"""The command `reid-ext` while it imports torch."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import reid_ext
import reid_ext_command

PACKAGES = Path(reid_ext.__file__).parents[1]
START = "import reid_ext_command, sys; sys.exit(reid_ext_command.main())"
SLOW_TORCH = "import time\nprint('importing', flush=True)\ntime.sleep(60)\n"


def started(folder):
    """A process of the command that is importing torch."""
    (folder / "torch.py").write_text(SLOW_TORCH)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(PACKAGES)])}
    process = subprocess.Popen(
        [sys.executable, "-c", START, "doctor"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "importing\n"
    return process


def test_command_reports_ctrl_c_during_the_import_of_torch(tmp_path):
    with started(tmp_path) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "\ninterrupted\n")


def test_command_runs_and_restores_the_signal_handler(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["reid-ext", "bench", "--threads", "0"])
    assert reid_ext_command.main() == 2
    assert "--threads must be an integer >= 1, got 0" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_command_keeps_another_signal_handler(handler, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["reid-ext", "bench", "--threads", "0"])
    before = signal.signal(signal.SIGINT, handler)
    try:
        reid_ext_command.main()
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_command_reports_a_removed_folder(tmp_path):
    shell = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" -c "$1" doctor'
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable, START],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PACKAGES)},
        capture_output=True,
        text=True,
    )
    message = "reid-ext: the current folder no longer exists; change to another one\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)
