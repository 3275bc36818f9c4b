"""Files that someone made to do harm: each is refused by name, or read as what it is.

For each the reader runs in a process of its own with little memory to spare. Nothing may be
executed (`Evil` would leave a mark), nothing outside the root read, and no process killed.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import browser_report
import hostile_files as files
import sandbox
import torch
from part import Budget, Row

from reid_ext import cli, data
from reid_ext.cli.features import read_features
from reid_ext.training.checkpoint import read_checkpoint

REFUSED = ("ValueError", "FileNotFoundError")
MEMORY = 512 * sandbox.MIB  # that a reader may take for a file of a few kilobytes
TERMINAL = "\x1b[31mred\x1b]0;title\x07"


class Case(NamedTuple):
    """What to do, and how it may end: errors by name; "" is that it is read."""

    name: str
    act: Callable[[], Any]
    ends: tuple[str, ...] = REFUSED
    says: str = ""  # what the message has to name


def attack(budget: Budget) -> Iterator[Row]:
    """All of them, once; there is no chance in it."""
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
    if outcome.error not in case.ends:
        return f"ended with {outcome.error or 'no error'}: {outcome.text[:300]!r}"
    if outcome.error and case.says not in outcome.text:
        return f"does not say {case.says!r}: {outcome.text[:300]!r}"
    if outcome.error and len(outcome.text) > 2000:
        return f"says {len(outcome.text)} characters"
    if outcome.error and any(ord(c) < 32 and c != "\n" for c in outcome.text):
        return f"sends control characters to a terminal: {outcome.text[:300]!r}"
    return ""


def checkpoints(folder: Path, mark: Path) -> list[Case]:
    """What torch.load is given."""
    made = files.checkpoints(folder, files.Evil(mark))
    return [Case(p.stem, lambda p=p: read_checkpoint(p), says=p.name) for p in made]


def view_labels(folder: Path, mark: Path) -> list[Case]:
    """Pickles, CSV and JSON files of views."""
    made = files.view_labels(folder, files.Evil(mark))
    return [Case(p.stem, lambda p=p: data.read_view_labels(p), says=p.name) for p in made]


def feature_files(folder: Path, mark: Path) -> list[Case]:
    """What the command line reads."""
    made = files.feature_files(folder, files.Evil(mark))
    return [Case(p.stem, lambda p=p: read_features(p, "query"), says=p.name) for p in made]


def images(folder: Path, mark: Path) -> list[Case]:
    """What a dataset's images may be: odd ones are read, others refused."""
    cases = []
    for path, fine in files.images(folder).items():
        cases.append(
            Case(path.name, lambda p=path: data.decode(p).shape, ("",) if fine else REFUSED)
        )
    silent, endless = folder / "pipe.jpg", folder / "endless.jpg"
    os.mkfifo(silent)
    endless.symlink_to("/dev/zero")
    return cases + [Case(p.name, lambda p=p: data.decode(p).shape) for p in (silent, endless)]


def lists(folder: Path, mark: Path) -> list[Case]:
    """Lists of images that lead out of the root, and noise in their place."""
    made = files.datasets(folder)
    return [
        Case(f"{name}, {what}", lambda n=name, r=root, s=split: data.load(n, r, **s))
        for name, what, root, split in made
    ]


def manifests(folder: Path, mark: Path) -> list[Case]:
    """Lists of one's own in CSV and JSON."""
    made = files.manifests(folder)
    return [Case(p.name, lambda p=p: data.load("manifest", p)) for p in made]


def terminal_escapes(folder: Path, mark: Path) -> list[Case]:
    """Names that would write to the terminal: what the command line prints shows them harmless."""
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
    return [Case(name, lambda c=c: _printed(c), ("",)) for name, c in calls.items()]


def _printed(arguments: list[str]) -> str:
    """What a command writes; AssertionError if a control character is in it."""
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
