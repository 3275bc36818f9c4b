"""The part labels of the renderer, and a random choice.

A garment has up to eight tones: 0 is its cloth, 1 and 2 its pattern, 3 and 4 the shirt inside an
open jacket, 5 a print or a stripe. Tone t of the upper garment has the label ``Part.UPPER + t``.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Part(IntEnum):
    """The label of a pixel; 0 is the background."""

    SKIN = 1
    HAIR = 2
    HAT = 3
    HAT_TRIM = 4
    SHOE = 5
    SOLE = 6
    BAG = 7
    BAG_POCKET = 8
    EYE = 9
    SOCK = 10
    STRAP = 11
    SCARF = 12
    UPPER = 16
    LOWER = 24
    SLEEVE = 32


NUM_LABELS = 40
TONES = 8


def choose(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, with equal probability."""
    return options[int(rng.integers(len(options)))]
