"""What every part of the attack is given, and what it reports.

After this import the parts find `reference`, which they share with the tests.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "python_tests"))


class Row(NamedTuple):
    """A line of the table: what was tried, how many times, and what went wrong, in words."""

    what: str
    count: int
    found: list[str]


@dataclass(frozen=True)
class Budget:
    """How long a part may go on, how much it shall do, from which seed, and where it may write."""

    seed: int
    seconds: float
    quick: bool
    folder: Path
    start: float

    def amount(self, quick: int, long: int) -> int:
        """How many of something to do."""
        return quick if self.quick else long

    def share(self, of: float) -> "Budget":
        """A part of the time, from now on."""
        return replace(self, seconds=self.seconds * of, start=time.monotonic())

    def numbers(self, limit: int) -> Iterator[tuple[int, np.random.Generator]]:
        """0, 1, ... below ``limit`` while time is left, each with a generator of its own."""
        for number in range(limit):
            if time.monotonic() - self.start > self.seconds:
                return
            yield number, np.random.default_rng([self.seed, number])


MOST_SHOWN = 5  # failures of a kind that are described; one is enough to start with


class Failures:
    """Collects what a fuzzer finds: the first few in full, and how many there were."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.more = 0

    def add(self, text: str) -> None:
        if len(self.found) < MOST_SHOWN:
            self.found.append(text)
        else:
            self.more += 1

    def lines(self) -> list[str]:
        return [*self.found, f"and {self.more} more"] if self.more else self.found


def smallest(sizes: dict[str, int], fails: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    """Sizes as small as found, one after the other and again, of a problem that still fails."""
    while True:
        before = sizes
        for name, size in sizes.items():
            for smaller in sorted({*range(min(size, 6)), size // 4, size // 2}):
                candidate = {**sizes, name: smaller}
                if smaller < size and fails(candidate):
                    sizes = candidate
                    break
        if sizes == before:
            return sizes
