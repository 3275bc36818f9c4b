"""Slow disks and clocks that jump.

A patched `open` that sleeps for a different time per file simulates a slow disk. A patched
`time.time`, and files from 1969 and 2096, simulate a clock that jumps. All durations are measured
with a monotonic clock, which cannot jump.
"""

import hashlib
import itertools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import kills
import sandbox
from part import Budget

from reid_ext import data
from reid_ext.data import decoding, pixel_cache

SMALL = {"identities": (3, 0, 3), "images": (2, 1)}
JUMPS = (0, 3600, -86_400, 4e9, -1.7e9, 0.5)  # offsets in seconds, used in turn


# --- slow disks -----------------------------------------------------------------------------------


def slow_disk(folder: Path, budget: Budget) -> dict[str, str]:
    """Slow reads give the same data in the same order."""
    root = data.synthesize("market1501", folder / "set", **SMALL)
    samples = data.load("market1501", root).train
    paths = [str(sample.path) for sample in samples]
    readers = {
        "no worker": lambda: _batches(samples, 0),
        "two workers": lambda: _batches(samples, 2),
        "pixels in memory": lambda: pixel_cache.InMemory(paths, (16, 8)).pixels.tolist(),
        "pixels in a file": lambda: _mapped(paths, folder),
    }
    result = {}
    for name, read in readers.items():
        outcome = sandbox.run(lambda r=read: _same_when_slow(r), seconds=120)
        result[name] = "" if outcome.text == "True" else f"{outcome}"
    return result


def _same_when_slow(read: Callable[[], Any]) -> bool:
    wanted = read()
    with mock.patch.object(decoding, "open", _slowly_opened, create=True):
        return read() == wanted


def _slowly_opened(path: str, *how: Any, **more: Any) -> Any:
    """Open the file after a delay that depends on its name."""
    time.sleep(int(hashlib.sha256(str(path).encode()).hexdigest(), 16) % 7 / 50)
    return open(path, *how, **more)


def _batches(samples: list[data.Sample], workers: int) -> list[bytes]:
    images = data.Images(samples, data.EvaluationTransform(size=(32, 16)))
    loader = data.loader(images, data.SequentialBatches(len(images), 2), workers)
    return [batch.images.numpy().tobytes() for batch in loader]


def _mapped(paths: list[str], folder: Path) -> list[bytes]:
    shutil.rmtree(folder / "cache", ignore_errors=True)
    cache = pixel_cache.InFile(paths, (16, 8), folder / "cache")
    return [cache[i].tobytes() for i in range(len(paths))]


# --- clocks ---------------------------------------------------------------------------------------


def clock_jumps(folder: Path, budget: Budget) -> dict[str, str]:
    """The results do not depend on the clock."""
    result = {}
    for name, act in {"rendering": _rendered, "training": _trained, "cache": _cached}.items():
        outcome = sandbox.run(lambda n=name, a=act: _with_jumps(a, folder / n), seconds=300)
        result[name] = "" if outcome.text == "True" else f"{outcome}"
    return result


def _with_jumps(act: Callable[[Path], Any], folder: Path) -> bool:
    wanted, real, jumps = act(folder / "steady"), time.time, itertools.cycle(JUMPS)
    with (
        mock.patch.object(time, "time", lambda: real() + next(jumps)),
        mock.patch.object(time, "time_ns", lambda: int(1e9 * (real() + next(jumps)))),
    ):
        return act(folder / "jumping") == wanted


def _rendered(folder: Path) -> Any:
    folder.mkdir(parents=True)
    kills.render(folder)
    return kills.rendered(folder)


def _trained(folder: Path) -> Any:
    """Train twice; the second run resumes from a checkpoint with a date in the future."""
    folder.mkdir(parents=True)
    kills.train(folder)
    os.utime(folder / "checkpoint.pt", (4e9, 4e9))
    kills.train(folder)
    return kills.trained(folder)


def _cached(folder: Path) -> Any:
    """Cache images of any date; the cache is rebuilt only if an image changes."""
    folder.mkdir(parents=True)
    kills.render(folder)
    paths = [str(s.path) for s in data.load("market1501", folder / "set").train]
    for path, when in zip(paths, itertools.cycle((0, 4e9, -1e6)), strict=False):
        os.utime(path, (when, when))
    made = []
    for _ in range(2):
        cache = pixel_cache.InFile(paths, (16, 8), folder / "cache")
        made.append([cache[i].tobytes() for i in range(len(paths))])
    files = len(list((folder / "cache").iterdir()))
    shutil.copy(paths[1], paths[0])
    os.utime(paths[0], (-1e6, -1e6))  # older than the cached image
    changed = pixel_cache.InFile(paths, (16, 8), folder / "cache")
    return made, files, changed[0].tobytes() == changed[1].tobytes()
