"""The numbers that stand for identities, cameras or other labels: one rule for all readers.

Labels for junk are -1 and labels for distractors are 0. If all other labels are different whole
numbers, they keep their numbers. Otherwise they are numbered from 1 in sorted order.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from reid_ext._runtime.arguments import INT64_END

JUNK, DISTRACTOR = -1, 0
JUNK_WORDS = ("", "junk", "unknown", "none", "nan", "null", "n/a")
DISTRACTOR_WORDS = ("distractor", "distractors")
_NUMBER = re.compile(r"(-?[0-9]+)(\.0+|,0{1,2})?")  # spreadsheets write 7 as 7.0 or 7,0


class Numbers(NamedTuple):
    """The number of each label, and whether any number is another one than its label spells."""

    of: Mapping[str, int]
    renumbered: bool


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
        ``-1`` and the words of ``JUNK_WORDS`` are -1. Labels that spell 0 and the words of
        ``DISTRACTOR_WORDS`` are 0. All other labels keep their numbers if they are whole numbers
        and no two spell the same one; otherwise they are numbered from 1 in sorted order.
    """
    written = {label: _without_fraction(label) for label in set(labels)}
    unique = sorted(set(written.values()))
    fixed = {label: _fixed(label, whole_number(label)) for label in unique}
    others = [label for label in unique if fixed[label] is None]
    spelled = [whole_number(label) for label in others]
    renumbered = None in spelled or len(set(spelled)) < len(others)
    numbers = dict(zip(others, range(1, len(others) + 1) if renumbered else spelled, strict=True))
    of = {label: numbers.get(plain, fixed[plain]) for label, plain in written.items()}
    return Numbers(of, renumbered)  # type: ignore[arg-type]


def _without_fraction(label: str) -> str:
    """The same number without ".0", so that 7 and 7.0 are one label; other labels as they are."""
    found = _NUMBER.fullmatch(label)
    return found[1] if found else label


def _fixed(label: str, number: int | None) -> int | None:
    """-1 for junk, 0 for a distractor, None for an identity."""
    word = label.strip().lower()
    if number == JUNK or word in JUNK_WORDS:
        return JUNK
    return DISTRACTOR if number == DISTRACTOR or word in DISTRACTOR_WORDS else None
