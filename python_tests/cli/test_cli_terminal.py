"""Output of reid-ext on a terminal and in a pipe, and the commands bench and completion."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from reid_ext import cli
from reid_ext.cli import terminal
from reid_ext.cli.command import Table

TABLE = Table(["op", "ms"], [["a[b]", "1.5"], ["longer", "10"]])


def test_show_prints_aligned_lines_in_a_pipe(capsys):
    terminal.show(["first", TABLE])
    want = ["first", "op       ms", "a[b]    1.5", "longer   10"]
    assert capsys.readouterr().out.splitlines() == want


def test_show_prints_a_table_on_a_terminal(capsys, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal.show([TABLE])
    out = capsys.readouterr().out
    assert "a[b]" in out and "┃" in out


def test_show_prints_aligned_lines_without_rich(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "rich.console", None)
    terminal.show([TABLE])
    assert capsys.readouterr().out.splitlines() == str(TABLE).splitlines()


def test_bench_reports_ratios_and_restores_threads(capsys):
    threads = torch.get_num_threads()
    assert cli.main(["bench", "--seconds", "0", "--threads", "1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    ops = {row["op"] for row in facts["rows"]}
    assert {"cosine_matrix", "expat_loss", "fidi_loss", "rank_positives"} <= ops
    assert all(row["products"] > 0 and row["milliseconds"] > 0 for row in facts["rows"])
    assert facts["threads"] == 1 and torch.get_num_threads() == threads


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--threads", "0"], "--threads must be"),
        (["--device", "x"], "--device must be"),
    ],
)
def test_bench_returns_2_for_wrong_flags(flags, message, capsys):
    assert cli.main(["bench", *flags]) == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_lists_the_commands(shell, capsys, tmp_path):
    pytest.importorskip("shtab")
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("doctor", "evaluate", "synthesize", "market1501"))
    if shutil.which(shell):  # the shell can parse the script
        (tmp_path / "script").write_text(script)
        done = subprocess.run([shell, "-n", tmp_path / "script"], capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == ""


def test_completion_in_bash_completes(capsys, tmp_path):
    pytest.importorskip("shtab")
    if not shutil.which("bash"):
        pytest.skip("needs bash")
    cli.main(["completion", "bash"])
    (tmp_path / "script").write_text(capsys.readouterr().out)
    lines = f"source {tmp_path / 'script'}; COMP_WORDS=(reid-ext do); COMP_CWORD=1; "
    lines += "$(complete -p reid-ext | sed 's/.*-F \\([^ ]*\\).*/\\1/'); echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", lines], capture_output=True, text=True)
    assert done.stdout.split() == ["doctor"], done.stderr


def test_completion_says_how_to_install_missing_shtab(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["completion", "bash"]) == 1
    needs = 'completion needs shtab, which is not installed; install it with pip install "shtab"'
    assert needs in capsys.readouterr().err
