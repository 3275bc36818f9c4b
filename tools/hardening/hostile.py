"""Hostile files: each must raise its expected error, or be read correctly.

The reader of each file runs in a forked process with little free memory. It must not execute code
(`Evil` would leave a mark), read files outside the root of a dataset, or be killed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import browser_report
import hostile_files as files
import hostile_images
import sandbox
import torch
from part import Budget, Row

from reid_ext import FeatureSet, cli, data
from reid_ext.training.checkpoint import read_checkpoint

REFUSED = ("ArgumentError", "ValueError", "FileNotFoundError", "IsADirectoryError")
MEMORY = 512 * sandbox.MIB  # limit for a reader; the files have a few kilobytes
TERMINAL = "\x1b[31mred\x1b]0;title\x07"


@dataclass(frozen=True)
class Case:
    """A call, and texts that its error must contain; without texts the call must succeed."""

    name: str
    act: Callable[[], Any]
    says: tuple[str, ...] = ()


def refused(name: str, act: Callable[[], Any], reason: str, file: str = "") -> Case:
    """A case whose error must name the file and the reason."""
    assert reason, f"{name}: a reason is required, because an earlier check could raise"
    return Case(name, act, (reason, file))


def attack(budget: Budget) -> Iterator[Row]:
    """Try every hostile file once; the files are not random."""
    torch.set_num_threads(1)
    mark = budget.folder / "executed"
    for kind, make in KINDS.items():
        folder = budget.folder / kind.replace(" ", "-")
        folder.mkdir(exist_ok=True)
        found, cases = [], make(folder, mark)
        for case in cases:
            if wrong := _wrong(sandbox.run(case.act, memory=MEMORY), case):
                found.append(f"{case.name}: {wrong}")
            if mark.exists():
                found.append(f"{case.name}: code of the file was run")
                mark.unlink()
        yield Row(f"hostile {kind}", len(cases), found)
    yield from browser_report.attack(budget)


def _wrong(outcome: sandbox.Outcome, case: Case) -> str:
    if outcome.ended:
        return f"the process ended by {outcome.ended}"
    if outcome.error not in (REFUSED if case.says else ("",)):
        return f"ended with {outcome.error or 'no error'}: {outcome.text[:300]!r}"
    if unsaid := [words for words in case.says if words not in outcome.text]:
        return f"the message does not contain {unsaid}: {outcome.text[:300]!r}"
    if outcome.error and len(outcome.text) > 2000:
        return f"a message of {len(outcome.text)} characters"
    if outcome.error and any(ord(c) < 32 and c != "\n" for c in outcome.text):
        return f"control characters in the message: {outcome.text[:300]!r}"
    return ""


def checkpoints(folder: Path, mark: Path) -> list[Case]:
    """Checkpoints."""
    return _each(files.checkpoints(folder, files.Evil(mark)), read_checkpoint)


def view_labels(folder: Path, mark: Path) -> list[Case]:
    """View labels in pickle, CSV and JSON files."""
    return _each(files.view_labels(folder, files.Evil(mark)), data.read_view_labels)


def feature_files(folder: Path, mark: Path) -> list[Case]:
    """Feature files."""
    made = files.feature_files(folder, files.Evil(mark))
    return _each(made, lambda p: FeatureSet.load(p, side="query"))


def manifests(folder: Path, mark: Path) -> list[Case]:
    """Manifests in CSV and JSON."""
    return _each(files.manifests(folder), lambda p: data.load("manifest", p))


def _each(made: files.Refused, read: Callable[[Path], Any]) -> list[Case]:
    return [refused(p.stem, partial(read, p), reason, p.name) for p, reason in made.items()]


def images(folder: Path, mark: Path) -> list[Case]:
    """Images: unusual ones must be read, hostile ones must raise an error."""
    cases = []
    for path, reason in hostile_images.images(folder).items():
        act = partial(_shape, path)
        cases.append(refused(path.name, act, reason) if reason else Case(path.name, act))
    return cases


def _shape(path: Path) -> tuple[int, ...]:
    return data.decode(path).shape


def lists(folder: Path, mark: Path) -> list[Case]:
    """Image lists that name files outside the root or contain invalid text."""
    return [
        refused(
            f"{made.name}, {made.change}",
            partial(data.load, made.name, made.root),
            made.reason,
            made.file,
        )
        for made in files.datasets(folder)
    ]


def terminal_escapes(folder: Path, mark: Path) -> list[Case]:
    """File names with terminal escapes; the command line must print them escaped."""
    bad = folder / TERMINAL
    bad.mkdir()
    (folder / f"{TERMINAL}.npz").write_bytes(b"no archive")
    market = folder / "market"
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (market / name).mkdir(parents=True)
        (market / name / f"0001_c1s1_{TERMINAL}.jpg").write_bytes(b"")
    calls = {
        "data check of a folder": ["data", "check", "market1501", str(bad)],
        "data check of images": ["data", "check", "market1501", str(market)],
        "evaluate of a file": ["evaluate", str(folder / f"{TERMINAL}.npz"), str(bad)],
        "rerank to a folder": ["rerank", str(bad), str(bad), "--out", str(bad / "x.npz")],
        "synthesize": ["data", "synthesize", "market1501", str(bad), "--preset", TERMINAL],
    }
    return [Case(name, lambda c=c: _printed(c)) for name, c in calls.items()]


def _printed(arguments: list[str]) -> str:
    """Run a command; raise AssertionError if it prints a control character."""
    import contextlib
    import io

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        cli.main(arguments)
    text = out.getvalue() + err.getvalue()
    assert text and "\x1b" not in text and "\x07" not in text, repr(text)
    return "harmless"


KINDS = {
    "checkpoints": checkpoints,
    "view labels": view_labels,
    "feature files": feature_files,
    "images": images,
    "lists": lists,
    "manifests": manifests,
    "names": terminal_escapes,
}
