"""Unusual and invalid paths: every name works, and every invalid path raises a documented error."""

import os
import shutil
from pathlib import Path

import sandbox
from part import Budget

from reid_ext import data, viz
from reid_ext._runtime.terminal import harmless
from reid_ext.training.checkpoint import read_checkpoint, write_atomically

ODD_NAMES = ("ünïcödé 人", "with space", "-rf", "'quote\"", "a" * 200, "new\nline", "%s{0}$HOME")
OS_ERRORS = ("OSError", "PermissionError", "FileNotFoundError", "FileExistsError")
OS_ERRORS += ("ValueError", "ArgumentError")


def paths(folder: Path, budget: Budget) -> dict[str, str]:
    """Read and write a dataset below folders with unusual names, then try invalid paths."""
    source = data.synthesize("market1501", folder / "set", identities=(3, 0, 3), images=(2, 1))
    names = [os.fsencode(name) for name in ODD_NAMES] + [b"\xff\xfe not UTF-8"]
    result = {}
    for name in names:
        root = Path(os.fsdecode(os.path.join(os.fsencode(folder), name)))

        def use(root: Path = root) -> str:
            shutil.copytree(source, root)
            dataset = data.load("market1501", root)
            data.decode(dataset.train[0].path)
            viz.save_image(root / "out.png", data.decode(dataset.train[0].path))
            write_atomically({"a": 1}, root / "c.pt")
            try:
                read_checkpoint(root / "c.pt")
            except ValueError as error:
                return _printable(str(error))
            raise AssertionError("a file without a model was read")

        outcome = sandbox.run(use)
        result[repr(name)] = (
            f"{outcome.error} {outcome.text}" if outcome.error or outcome.ended else ""
        )
    result |= _impossible(folder)
    return result


def _printable(text: str) -> str:
    """Check that a UTF-8 terminal can show the text that the command line prints."""
    harmless(text).encode("utf-8")
    return ""


def _impossible(folder: Path) -> dict[str, str]:
    """Try invalid paths: a loop of links, too long, with NUL, a file as a folder, missing."""
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "file").write_text("x")
    roots = ["loop", "b" * 300, "c/" * 3000, "nul\0l", "file", "nowhere"]
    result = {}
    for name in roots:
        root = str(folder / name)
        calls = {
            "load": lambda r=root: data.load("market1501", r),
            "decode": lambda r=root: data.decode(f"{r}"),
            "checkpoint": lambda r=root: read_checkpoint(r),
            "labels": lambda r=root: data.read_view_labels(r + ".csv"),
            "synthesize": lambda r=root: data.synthesize("market1501", r + "/x", preset="tiny"),
        }
        for call, act in calls.items():
            if call == "synthesize" and name == "nowhere":
                continue
            outcome = sandbox.run(act)
            folders = "IsADirectoryError", "NotADirectoryError"
            fine = outcome.error in (*OS_ERRORS, *folders)
            short = len(outcome.text) < 8000
            result[f"{call} of {name[:9]!r}"] = "" if fine and short else f"{outcome}"
    return result
