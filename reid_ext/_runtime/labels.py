"""The numbers that stand for identities, cameras or other labels: one rule for all readers.

A label keeps its number if all labels are different whole numbers. Otherwise the labels are
numbered from 1 in sorted order, so that no label becomes -1 (junk) or 0 (distractor), and only the
labels that mean junk or distractor get these two numbers.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

JUNK, DISTRACTOR = -1, 0
JUNK_WORDS = ("", "junk", "unknown", "none", "nan", "null", "n/a")
DISTRACTOR_WORDS = ("distractor", "distractors")
INT64_END = 2**63
SHOWN = 5
_NUMBER = re.compile(r"(-?[0-9]+)(\.0+)?")  # spreadsheets write whole numbers as 7.0


class Numbers(NamedTuple):
    """The number of each label, and whether it is another one than the label says."""

    of: Mapping[str, int]
    renumbered: bool

    def __str__(self) -> str:
        """The first few labels with their numbers; empty if every label is its own number."""
        if not self.renumbered:
            return ""
        pairs = [f"{label!r} is {number}" for label, number in self.of.items()]
        more = f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
        return ", ".join(pairs[:SHOWN]) + more


def whole_number(label: str) -> int | None:
    """The integer that a label spells; None if it spells none or one beyond int64."""
    found = _NUMBER.fullmatch(label)
    number = int(found[1]) if found and len(found[1]) <= 20 else None
    return number if number is not None and -INT64_END <= number < INT64_END else None


def numbers_of(labels: Iterable[str]) -> Numbers:
    """Return the number of each label.

    Args:
        labels: Labels as the user wrote them, such as ``"0007"``, ``"anna"`` and ``"-1"``;
            duplicates are allowed.

    Returns:
        Whole numbers stay as they are if no two labels spell the same number. Otherwise ``-1`` and
        the words of ``JUNK_WORDS`` are -1, labels that spell 0 and the words of
        ``DISTRACTOR_WORDS`` are 0, and all other labels are numbered from 1 in sorted order.
    """
    unique = sorted(set(labels))
    spelled = {label: whole_number(label) for label in unique}
    numbers = {label: number for label, number in spelled.items() if number is not None}
    if len(numbers) == len(unique) == len(set(numbers.values())):
        return Numbers(numbers, renumbered=False)
    fixed = {label: _fixed(label, spelled[label]) for label in unique}
    others = [label for label, number in fixed.items() if number is None]
    places = {label: place for place, label in enumerate(others, start=1)}
    return Numbers(
        {label: places[label] if n is None else n for label, n in fixed.items()}, renumbered=True
    )


def _fixed(label: str, number: int | None) -> int | None:
    """-1 for junk, 0 for a distractor, None for an identity."""
    word = label.strip().lower()
    if number == JUNK or word in JUNK_WORDS:
        return JUNK
    return DISTRACTOR if number == DISTRACTOR or word in DISTRACTOR_WORDS else None
