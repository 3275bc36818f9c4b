"""Faults of the machine: full and read-only disks, no memory, dead workers, unusual paths.

In every case a script must print one line without a traceback, and leave no incomplete file.
"""

import contextlib
import io
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import many_files
import numpy as np
import sandbox
import torch
from odd_paths import OS_ERRORS, paths
from odd_times import clock_jumps, slow_disk
from part import ROOT, Budget, Row

from reid_ext import cli, data, viz
from reid_ext.data.pixel_cache import InFile
from reid_ext.training.checkpoint import write_atomically
from reid_ext.training.command_line import one_line_errors
from reid_ext.training.results import write_json


def attack(budget: Budget) -> Iterator[Row]:
    """Try every fault in turn."""
    torch.set_num_threads(1)
    for name, tries in FAULTS.items():
        folder = budget.folder / name.replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        cases = tries(folder, budget)
        found = [f"{case}: {wrong}" for case, wrong in cases.items() if wrong]
        yield Row(f"fault: {name}", len(cases), found)
    yield from many_files.attack(budget)


# --- writing --------------------------------------------------------------------------------------


def writers(folder: Path) -> dict[str, tuple[Path, Callable[[], Any]]]:
    """Every function that writes a file: the path and the call."""
    picture = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    ids = np.arange(300)
    small = {"identities": (2, 0, 2), "images": (2, 1)}
    files = [str(folder.parent / f"{name}.npz") for name in "qg"]
    for name in files:
        np.savez(name, features=np.eye(300, dtype=np.float32), identities=ids, cameras=ids)
    elsewhere = str(folder.parent / "picture.png")
    viz.save_image(elsewhere, picture)
    weights = {"w": torch.zeros(200_000)}
    out = folder / "d.npz"
    return {
        "checkpoint": (
            folder / "c.pt",
            lambda: write_atomically(weights, folder / "c.pt"),
        ),
        "JSON": (
            folder / "m.json",
            lambda: write_json(folder / "m.json", {"n": list(range(90_000))}),
        ),
        "image": (folder / "i.png", lambda: viz.save_image(folder / "i.png", picture)),
        "distances": (out, lambda: _command("rerank", *files, "--k1", "3", "--out", str(out))),
        "pixels": (folder, lambda: InFile([elsewhere] * 40, (64, 32), folder)),
        "dataset": (
            folder / "set",
            lambda: data.synthesize("market1501", folder / "set", **small),
        ),
    }


def _command(*arguments: str) -> None:
    """Run a reid-ext command; raise OSError with its error output if it fails."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        status = cli.main(arguments)
    if status:
        raise OSError(err.getvalue())


def _unwritten(folder: Path, prepare: Callable[[], None]) -> dict[str, str]:
    """Check that each writer raises OSError and leaves neither the file nor a part of it."""
    result = {}
    for name, (_, act) in writers(folder).items():

        def failing(act: Callable[[], Any] = act) -> None:
            prepare()
            act()

        outcome = sandbox.run(failing)
        left = [p.name for p in folder.iterdir() if not p.name.endswith(".lock")]
        if outcome.ended or outcome.error not in OS_ERRORS:
            result[name] = (
                f"ended with {outcome.error or outcome.ended or 'no error'}: {outcome.text}"
            )
        elif left:
            result[name] = f"left {left}"
        else:
            result[name] = ""
        for part in folder.iterdir():
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    return result


def full_disk(folder: Path, budget: Budget) -> dict[str, str]:
    """Write to a file system of 64 KiB if it can be mounted, and with files of at most 2 KiB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True
    )

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 11, 1 << 11))

    try:
        result = _unwritten(folder, (lambda: None) if mounted.returncode == 0 else small_files)
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)
    limited = _unwritten(folder, small_files)
    return result | {f"{name}, files limited": wrong for name, wrong in limited.items()}


def read_only(folder: Path, budget: Budget) -> dict[str, str]:
    """Write to a read-only folder, as a user without privileges."""

    def drop_privileges() -> None:
        os.chmod(folder, 0o555)
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)

    try:
        return _unwritten(folder, drop_privileges)
    finally:
        os.chmod(folder, 0o755)


# --- reading --------------------------------------------------------------------------------------


def vanished(folder: Path, budget: Budget) -> dict[str, str]:
    """Delete a dataset while this process or its workers read it."""
    result = {}
    for workers in (0, 2):
        root = folder / str(workers)
        data.synthesize("market1501", root, identities=(3, 0, 3), images=(2, 1))

        def read(root: Path = root, workers: int = workers) -> None:
            samples = data.load("market1501", root).train
            images = data.Images(samples, data.EvaluationTransform(size=(32, 16)))
            for _ in data.loader(images, data.SequentialBatches(len(images), 2), workers):
                shutil.rmtree(root, ignore_errors=True)

        outcome = sandbox.run(read, seconds=60)
        fine = outcome.error == "FileNotFoundError" and "decode" in outcome.text
        result[f"{workers} workers"] = "" if fine else f"{outcome}"
    return result


def killed_worker(folder: Path, budget: Budget) -> dict[str, str]:
    """Kill a worker of the loader; the error must be one that scripts print in one line."""
    root = data.synthesize("market1501", folder / "set", identities=(3, 0, 3), images=(2, 1))

    def read() -> None:
        images = data.Images(data.load("market1501", root).train, _KillsItself((32, 16)))
        for _ in data.loader(images, data.SequentialBatches(len(images), 2), 1):
            pass

    outcome = sandbox.run(read, seconds=60)
    fine = outcome.error in ("OSError", "ChildProcessError") and "worker" in outcome.text
    return {"loader": "" if fine else f"{outcome}"}


class _KillsItself(data.EvaluationTransform):
    """Kills the process that calls it."""

    def into(self, image: np.ndarray, rng: np.random.Generator | None, out: np.ndarray) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def no_memory(folder: Path, budget: Budget) -> dict[str, str]:
    """Run out of memory; the command line must report it in one line."""
    ids = np.zeros(6000, int)
    big = folder / "big.npz"
    np.savez(big, features=np.ones((6000, 64), np.float32), identities=ids, cameras=ids)
    text = []

    def rerank() -> str:
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            status = cli.main(["rerank", str(big), str(big), "--out", str(folder / "d.npz")])
        text.append(err.getvalue())
        return f"status {status}: {err.getvalue()}"

    outcome = sandbox.run(rerank, memory=60 * sandbox.MIB)
    fine = not outcome.error and not outcome.ended and "status 1" in outcome.text
    result = {"rerank": "" if fine and "memory" in outcome.text else f"{outcome}"}

    def script() -> None:
        with one_line_errors():
            torch.empty(1 << 34).fill_(1)

    outcome = sandbox.run(script, memory=60 * sandbox.MIB)
    result["script"] = "" if outcome.error == "SystemExit" else f"{outcome}"
    return result


def scripts(folder: Path, budget: Budget) -> dict[str, str]:
    """Invalid arguments of the training scripts; they must not print a traceback."""
    calls = {
        "no such dataset": ["--data", str(folder / "nowhere")],
        "an empty dataset": ["--data", str(folder)],
        "nothing to resume": ["--resume", "--quick"],
        "no such backbone": ["--quick", "--backbone", "no_such_net"],
        "no such weights": ["--quick", "--backbone", "small", "--weights", str(folder / "w.pt")],
        "no such views": ["--quick", "--views", str(folder / "v.csv")],
        "output is a file": ["--quick", "--out", "/dev/null/x"],
        "a batch without identities": ["--quick", "--batch", "0x4"],
        "a batch of thousands": ["--quick", "--batch", "5000x4"],
        "no workers": ["--quick", "--workers", "-1"],
        "a negative seed": ["--quick", "--seed", "-99999999999999999999"],
        "an unavailable device": ["--quick", "--device", "cuda:99"],
    }
    some = list(calls.items())[: budget.amount(3, len(calls))]
    result = {}
    environment = {**os.environ, "REID_EXT_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    for name, flags in some:
        out = [] if "--out" in flags else ["--out", str(folder / "out")]
        command = [sys.executable, str(ROOT / "examples" / "train_market1501.py"), *flags, *out]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
        fine = done.returncode in (1, 2) and "Traceback" not in done.stderr
        result[name] = "" if fine else f"status {done.returncode}: {done.stderr[-300:]!r}"
    return result


FAULTS = {
    "full disk": full_disk,
    "read-only folder": read_only,
    "paths": paths,
    "vanished dataset": vanished,
    "killed worker": killed_worker,
    "no memory": no_memory,
    "slow disk": slow_disk,
    "clock jumps": clock_jumps,
    "scripts": scripts,
}
