"""Draws bags on a canvas: a backpack on the back, other bags at the person's side +1."""

import numpy as np

from reid_ext.synthetic.canvas import Canvas, Point
from reid_ext.synthetic.parts import Part


def backpack(canvas: Canvas) -> None:
    canvas.band(
        [
            *((0.83, 0.07, 0.03, -0.10), (0.80, 0.092, 0.045, -0.105)),
            *((0.62, 0.098, 0.055, -0.11), (0.585, 0.085, 0.045, -0.11)),
        ],
        Part.BAG,
    )
    if canvas.cos < 0.3:
        pocket = [(0.70, 0.062, 0.03, -0.115), (0.62, 0.066, 0.035, -0.118)]
        canvas.band(pocket, Part.BAG_POCKET, (140, 165))


def backpack_straps(canvas: Canvas) -> None:
    for side in (-1, 1):
        top, bottom = (side * 0.07, 0.82, 0.05), (side * 0.075, 0.63, 0.06)
        canvas.strap(top, bottom, Part.STRAP, 140, 0.022)


def shoulder_strap(canvas: Canvas) -> None:
    z = 0.03 if canvas.cos >= 0 else -0.05
    canvas.strap((-0.07, 0.83, z), (0.11, 0.53, z), Part.STRAP, 140, 0.016)


def shoulder_bag(canvas: Canvas, build: float) -> None:
    if canvas.sin >= 0.8:  # behind the body
        return
    centre, _ = canvas.project((0.125 * build, 0.485, 0))
    half = np.array([canvas.half_width(0.03, 0.07), 0.05 * canvas.size])
    canvas.box(centre - half, centre + half, Part.BAG, 135)
    pocket = centre - half * (0.7, 0.8), centre + half * (0.4, -0.1)
    canvas.box(*pocket, Part.BAG_POCKET, 165)


def handbag(canvas: Canvas, hand: Point) -> None:
    (x, y), _ = canvas.project(hand)
    size, half = canvas.size, canvas.half_width(0.022, 0.062)
    canvas.box((x - half, y + 0.03 * size), (x + half, y + 0.12 * size), Part.BAG, 135)
    pocket = (x - 0.8 * half, y + 0.045 * size), (x + 0.3 * half, y + 0.075 * size)
    canvas.box(*pocket, Part.BAG_POCKET, 165)
    canvas.line((x, y), (x, y + 0.03 * size), Part.STRAP, 120, 2)
