"""The budget that every part of the attack receives, and the rows that it reports.

This module adds `python_tests` to the import path, so that the parts can import `reference`.
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
    """A line of the table: what was tried, how many times, and a description of each fault."""

    what: str
    count: int
    found: list[str]


@dataclass(frozen=True)
class Budget:
    """The time, size, seed and output folder of a part."""

    seed: int
    seconds: float
    quick: bool
    folder: Path
    start: float

    def amount(self, quick: int, long: int) -> int:
        """The number of repetitions: ``quick`` in the quick run, else ``long``."""
        return quick if self.quick else long

    def share(self, of: float) -> "Budget":
        """A budget with this fraction of the time, which starts now."""
        return replace(self, seconds=self.seconds * of, start=time.monotonic())

    def numbers(self, limit: int) -> Iterator[tuple[int, np.random.Generator]]:
        """0, 1, ... below ``limit`` while time is left, each with its own random generator."""
        for number in range(limit):
            if time.monotonic() - self.start > self.seconds:
                return
            yield number, np.random.default_rng([self.seed, number])


MOST_SHOWN = 5  # number of failures of one kind that are printed in full


class Failures:
    """The failures that a fuzzer finds: the first few in full, and the number of the others."""

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


def attempt(
    check: Callable[[np.random.Generator, dict[str, int]], int],
    seed: list[int],
    sizes: dict[str, int],
    failures: Failures,
    least: dict[str, int] | None = None,
) -> int:
    """Run a check and return its count; add a failure with the smallest sizes that still fail.

    Args:
        check: Takes a random generator and sizes; returns the number of cases it checked.
        seed: Seed of the generator, so that the check can be repeated with smaller sizes.
        sizes: The sizes to start with.
        failures: Receives the failure, if the check raises.
        least: The smallest value of each size. Default: None, all sizes may shrink to 0.
    """

    def run(of: dict[str, int]) -> int:
        return check(np.random.default_rng(seed), of)

    def fails(of: dict[str, int]) -> bool:
        if any(of[name] < size for name, size in (least or {}).items()):
            return False
        try:
            run(of)
        except Exception:
            return True
        return False

    try:
        return run(sizes)
    except Exception as error:
        found = smallest(sizes, fails)
        failures.add(f"seed {seed}, {found}: {str(error) or repr(error):.500}")
        return 0


def smallest(sizes: dict[str, int], fails: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    """Shrink one size after the other, repeatedly, while the problem still fails."""
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
