"""Garment textures: tone atlases that are wrapped around the body.

An atlas is uint8 (64, 128). A column is an angle around the body (0: front, 64: back), a row is a
height, counted from the top of the garment. The values are tones; see `parts`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reid_ext.synthetic.parts import choose

HEIGHT, WIDTH = 64, 128
BACK = WIDTH // 2

Atlas = NDArray[np.uint8]
Rng = np.random.Generator


@dataclass(frozen=True)
class Logo:
    """A print on the chest: a disc, bar, triangle or frame; sizes in atlas pixels."""

    shape: str
    height: float
    size: int


LOGO_SHAPES = ("disc", "bar", "triangle", "frame")

_row, _column = np.ogrid[:HEIGHT, :WIDTH]


def _plain(rng: Rng, period: int) -> np.ndarray:
    return np.zeros((1, 1))


def _horizontal_stripes(rng: Rng, period: int) -> np.ndarray:
    return _row % period < 0.45 * period


def _vertical_stripes(rng: Rng, period: int) -> np.ndarray:
    return _column % period < 0.4 * period


def _check(rng: Rng, period: int) -> np.ndarray:
    return (_row % period < 0.35 * period) * 1 + (_column % period < 0.35 * period)


def _dots(rng: Rng, period: int) -> np.ndarray:
    atlas = np.zeros((HEIGHT, WIDTH), np.uint8)
    for row in range(0, HEIGHT, period):
        shift = (row // period % 2) * period // 2
        for column in range(0, WIDTH, period):
            cv2.circle(atlas, (column + shift, row), max(2, period // 4), 1, -1)
    return atlas


def _block(rng: Rng, period: int) -> np.ndarray:
    return _row < int(HEIGHT * rng.uniform(0.3, 0.55))


def _band(rng: Rng, period: int) -> np.ndarray:
    top = rng.uniform(0.25, 0.5)
    return (_row >= int(HEIGHT * top)) & (_row < int(HEIGHT * (top + 0.18)))


def _side_panels(rng: Rng, period: int) -> np.ndarray:
    return np.abs(np.cos(_column / WIDTH * 2 * np.pi)) < 0.5


def _camouflage(rng: Rng, period: int) -> np.ndarray:
    coarse = rng.random((6, 14)).astype(np.float32)
    noise = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return (noise > 0.52) * 1 + (noise > 0.75)


PATTERNS: dict[str, Callable[[Rng, int], np.ndarray]] = {
    "plain": _plain,
    "horizontal stripes": _horizontal_stripes,
    "vertical stripes": _vertical_stripes,
    "check": _check,
    "dots": _dots,
    "block": _block,
    "band": _band,
    "side panels": _side_panels,
    "camouflage": _camouflage,
}


def pattern(rng: Rng, name: str, period: int) -> Atlas:
    """The atlas of a repeating pattern; ``period`` in atlas pixels, which some patterns ignore."""
    tones = PATTERNS[name](rng, period).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(tones, (HEIGHT, WIDTH)))


def upper_garment(
    rng: Rng, name: str, period: int, *, open_front: bool, logo: Logo | None, back_print: bool
) -> Atlas:
    """The atlas of a pattern with an optional open front, a logo and a print on the back."""
    front = np.roll(pattern(rng, name, period), BACK, axis=1)  # moves the front to the middle
    if open_front:
        half = int(rng.uniform(5, 11))
        shirt = choose(rng, ("plain", "plain", "horizontal stripes", "vertical stripes"))
        inside = pattern(rng, shirt, period=9)[:, : 2 * half]
        front[:, BACK - half : BACK + half] = 3 + inside
    if logo:
        _print_logo(front, logo, BACK + int(rng.uniform(-6, 6)))
    atlas = np.roll(front, -BACK, axis=1)
    if back_print:
        cv2.rectangle(atlas, (BACK - 9, 14), (BACK + 9, 24), 5, -1)
    return atlas


def _print_logo(atlas: Atlas, logo: Logo, x: int) -> None:
    y, size = int(logo.height * HEIGHT), logo.size
    if logo.shape == "disc":
        cv2.circle(atlas, (x, y), size // 2 + 1, 5, -1)
    elif logo.shape == "bar":
        cv2.rectangle(atlas, (x - size, y - size // 3), (x + size, y + size // 3), 5, -1)
    elif logo.shape == "triangle":
        corners = [(x - size, y - size // 2), (x + size, y - size // 2), (x, y + size)]
        cv2.fillConvexPoly(atlas, np.array(corners, np.int32), 5)
    else:
        cv2.rectangle(atlas, (x - size // 2, y - size // 2), (x + size // 2, y + size), 5, 3)
