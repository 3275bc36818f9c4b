"""A folder of a million images: time and memory of its readers must be proportional to that."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sandbox
from part import Budget, Row

from reid_ext import cli, data

BYTES, SECONDS = 3000, 500e-6  # limits of a reader per file
FREE = 200e6, 20  # bytes and seconds that do not depend on the number of files


def attack(budget: Budget) -> Iterator[Row]:
    """Run each reader on the same folder; the row contains its time and memory."""
    number, folder = budget.amount(20_000, 1_000_000), budget.folder / "many"
    shutil.rmtree(folder, ignore_errors=True)
    fill(folder, number)
    for name, read in READERS.items():
        start = time.monotonic()
        outcome = sandbox.run(lambda r=read: r(folder), seconds=1800)
        seconds = time.monotonic() - start
        fine = outcome.text == str(number) and outcome.grown < FREE[0] + BYTES * number
        fine &= seconds < FREE[1] + SECONDS * number
        what = f"{number:,} files, {name}: {seconds:.0f} s, {outcome.grown / 1e6:.0f} MB"
        yield Row(what, 1, [] if fine else [f"{outcome!r:.500}"])
    shutil.rmtree(folder)


def fill(folder: Path, number: int) -> None:
    """Create Market-1501's three folders, with this number of empty images in the first."""
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (folder / name).mkdir(parents=True)
    for name in ("query", "bounding_box_test"):
        (folder / name / "0001_c1s1_000001_00.jpg").touch()
    train = os.open(folder / "bounding_box_train", os.O_RDONLY)
    for i in range(number):
        name = f"{i % 9999 + 1:04d}_c{i % 6 + 1}s1_{i:06d}_00.jpg"
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=train))
    os.close(train)


def _loaded(folder: Path) -> int:
    return len(data.load("market1501", folder).train)


def _checked(folder: Path) -> int:
    """The number of invalid images that the check finds, without the two of query and gallery."""
    report = data.check("market1501", folder)
    assert not report.ok
    assert all(len(finding.message) < 2000 for finding in report.findings)
    return max(len(finding.paths) for finding in report.findings) - 2


def _commanded(folder: Path) -> int:
    """Run `reid-ext data check`, which must report the problem in a few lines."""
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = cli.main(["data", "check", "market1501", str(folder)])
    assert status == 1 and len(out.getvalue()) < 20_000, out.getvalue()[:2000]
    return _loaded(folder)


def _in_one_folder(folder: Path) -> int:
    """Read the images as one identity of a dataset of nested folders."""
    own = folder / "own"
    for split in ("train", "query", "gallery"):
        (own / split).mkdir(parents=True)
    (own / "train" / "0001").symlink_to(folder / "bounding_box_train")
    for split in ("query", "gallery"):
        (own / split / "0001").symlink_to(folder / "query")
    return len(data.load("folders", own).train)


READERS: dict[str, Callable[[Path], Any]] = {
    "listed": _loaded,
    "listed as one identity": _in_one_folder,
    "checked": _checked,
    "checked by the command": _commanded,
}
