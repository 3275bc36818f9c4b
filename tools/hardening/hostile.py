"""Files that someone made to do harm: each is refused for its own reason, or read as what it is.

For each the reader runs in a process of its own with little memory to spare. Nothing may be
executed (`Evil` would leave a mark), nothing outside the root read, and no process killed.
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
MEMORY = 512 * sandbox.MIB  # that a reader may take for a file of a few kilobytes
TERMINAL = "\x1b[31mred\x1b]0;title\x07"


@dataclass(frozen=True)
class Case:
    """What to do, and words that the refusal must contain; without words it must succeed."""

    name: str
    act: Callable[[], Any]
    says: tuple[str, ...] = ()


def refused(name: str, act: Callable[[], Any], reason: str, file: str = "") -> Case:
    """A case whose refusal names the file and the reason that the case is made for."""
    assert reason, f"{name}: without a reason an earlier check could refuse it"
    return Case(name, act, (reason, file))


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
    if outcome.error not in (REFUSED if case.says else ("",)):
        return f"ended with {outcome.error or 'no error'}: {outcome.text[:300]!r}"
    if unsaid := [words for words in case.says if words not in outcome.text]:
        return f"does not say {unsaid}: {outcome.text[:300]!r}"
    if outcome.error and len(outcome.text) > 2000:
        return f"says {len(outcome.text)} characters"
    if outcome.error and any(ord(c) < 32 and c != "\n" for c in outcome.text):
        return f"sends control characters to a terminal: {outcome.text[:300]!r}"
    return ""


def checkpoints(folder: Path, mark: Path) -> list[Case]:
    """What torch.load is given."""
    return _each(files.checkpoints(folder, files.Evil(mark)), read_checkpoint)


def view_labels(folder: Path, mark: Path) -> list[Case]:
    """Pickles, CSV and JSON files of views."""
    return _each(files.view_labels(folder, files.Evil(mark)), data.read_view_labels)


def feature_files(folder: Path, mark: Path) -> list[Case]:
    """What the command line reads."""
    made = files.feature_files(folder, files.Evil(mark))
    return _each(made, lambda p: FeatureSet.load(p, side="query"))


def manifests(folder: Path, mark: Path) -> list[Case]:
    """Lists of one's own in CSV and JSON."""
    return _each(files.manifests(folder), lambda p: data.load("manifest", p))


def _each(made: files.Refused, read: Callable[[Path], Any]) -> list[Case]:
    return [refused(p.stem, partial(read, p), reason, p.name) for p, reason in made.items()]


def images(folder: Path, mark: Path) -> list[Case]:
    """What a dataset's images may be: odd ones are read, others refused."""
    cases = []
    for path, reason in hostile_images.images(folder).items():
        act = partial(_shape, path)
        cases.append(refused(path.name, act, reason) if reason else Case(path.name, act))
    return cases


def _shape(path: Path) -> tuple[int, ...]:
    return data.decode(path).shape


def lists(folder: Path, mark: Path) -> list[Case]:
    """Lists of images that lead out of the root, and noise in their place."""
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
    return [Case(name, lambda c=c: _printed(c)) for name, c in calls.items()]


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
