"""Backgrounds: a random street or corridor, wider than an image, from which images are cropped."""

import cv2
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 190, 360

Rng = np.random.Generator


def draw_scene(rng: Rng, *, outdoor: bool, infrared: bool) -> NDArray[np.uint8]:
    """One scene, uint8 BGR (190, 360, 3); infrared scenes are grey and dark above the ground."""
    picture: np.ndarray = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    horizon = int(rng.uniform(70, 105))
    (_street if outdoor else _corridor)(rng, picture, horizon)
    picture *= 0.8 + 0.4 * _patches(rng)[..., None]
    picture += rng.normal(0, 4, picture.shape)
    picture = cv2.GaussianBlur(picture, (0, 0), 1.0)
    if infrared:
        gray = 0.75 * picture.mean(axis=2)
        gray[:horizon] *= rng.uniform(0.5, 0.9)
        picture = np.repeat(gray[..., None], 3, axis=2)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _gray(rng: Rng, low: float, high: float) -> np.ndarray:
    """A nearly grey BGR colour."""
    return rng.uniform(low, high) + rng.normal(0, 8, 3)


def _patches(rng: Rng) -> np.ndarray:
    """A field of uneven brightness, about 0 to 1, with seven rows of cells."""
    cells = rng.random((7, 7 * WIDTH // HEIGHT)).astype(np.float32)
    return cv2.resize(cells, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def _rectangle(
    picture: np.ndarray, corner: tuple[int, int], opposite: tuple[int, int], colour: np.ndarray
) -> None:
    cv2.rectangle(picture, corner, opposite, colour.tolist(), -1)


def _street(rng: Rng, picture: np.ndarray, horizon: int) -> None:
    picture[:horizon] = _gray(rng, 120, 200) + np.array([18, 5, -5])
    picture[horizon:] = _gray(rng, 90, 150)
    x = 0
    while x < WIDTH:
        width = int(rng.uniform(25, 80))
        draw = _building if rng.random() < 0.6 else _tree
        draw(rng, picture, x, width, horizon)
        x += width + int(rng.uniform(0, 18))
    if rng.random() < 0.7:
        depth = int(rng.uniform(8, 25))
        _rectangle(picture, (0, horizon), (WIDTH, horizon + depth), np.array([55, 100, 80]))
    for _ in range(4):  # road markings
        top, bottom = int(rng.uniform(0, WIDTH)), int(rng.uniform(0, WIDTH))
        paint = _gray(rng, 120, 180).tolist()
        cv2.line(picture, (top, horizon), (bottom, HEIGHT), paint, 2)


def _building(rng: Rng, picture: np.ndarray, x: int, width: int, horizon: int) -> None:
    wall = _gray(rng, 70, 170)
    _rectangle(picture, (x, int(rng.uniform(-5, 30))), (x + width, horizon), wall)
    for y in range(8, horizon - 12, int(rng.uniform(14, 22))):
        for left in range(x + 5, x + width - 8, int(rng.uniform(12, 20))):
            _rectangle(picture, (left, y), (left + 7, y + 9), 0.6 * wall + 20)


def _tree(rng: Rng, picture: np.ndarray, x: int, width: int, horizon: int) -> None:
    middle = x + width // 2
    trunk = np.array([40, 50, 65])
    _rectangle(picture, (middle - 2, horizon - 40), (middle + 2, horizon), trunk)
    for _ in range(12):
        left, up = int(rng.uniform(-16, 16)), int(rng.uniform(-18, 14))
        radius = int(rng.uniform(6, 14))
        leaves = [40 + rng.uniform(0, 25), 85 + rng.uniform(0, 40), 60 + rng.uniform(0, 25)]
        cv2.circle(picture, (middle + left, horizon - 50 + up), radius, leaves, -1)


def _corridor(rng: Rng, picture: np.ndarray, horizon: int) -> None:
    picture[:horizon] = _gray(rng, 130, 200)
    picture[horizon:] = _gray(rng, 80, 140)
    _rectangle(picture, (0, horizon - 4), (WIDTH, horizon), _gray(rng, 50, 90))
    x = int(rng.uniform(0, 25))
    while x < WIDTH:
        width = int(rng.uniform(24, 60))
        draw = (_door, _notice, _railing, None)[int(rng.integers(4))]
        if draw:
            draw(rng, picture, x, width, horizon)
        x += width + int(rng.uniform(8, 40))
    _tiles(picture, horizon, size=int(rng.uniform(18, 34)))


def _door(rng: Rng, picture: np.ndarray, x: int, width: int, horizon: int) -> None:
    top = int(rng.uniform(0, 15))
    _rectangle(picture, (x, top), (x + width, horizon - 4), _gray(rng, 60, 130))
    cv2.circle(picture, (x + width - 6, horizon // 2 + 10), 2, (200, 200, 200), -1)


def _notice(rng: Rng, picture: np.ndarray, x: int, width: int, horizon: int) -> None:
    bottom = 15 + int(rng.uniform(20, 45))
    _rectangle(picture, (x, 15), (x + width, bottom), _gray(rng, 170, 235))
    bottom = 15 + int(rng.uniform(20, 30))
    _rectangle(picture, (x + 4, 19), (x + width - 4, bottom), _gray(rng, 60, 190))


def _railing(rng: Rng, picture: np.ndarray, x: int, width: int, horizon: int) -> None:
    for bar in range(x, x + width, 9):
        cv2.line(picture, (bar, 0), (bar, horizon - 5), _gray(rng, 90, 140).tolist(), 2)


def _tiles(picture: np.ndarray, horizon: int, size: int) -> None:
    joint = (picture[horizon + 2, 2] * 0.82).tolist()
    for y in range(horizon, HEIGHT, size // 2):
        cv2.line(picture, (0, y), (WIDTH, y), joint, 1)
    middle = WIDTH // 2
    for x in range(-WIDTH, 2 * WIDTH, size):
        cv2.line(picture, (middle + (x - middle) // 2, horizon), (x, HEIGHT), joint, 1)
