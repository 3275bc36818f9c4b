"""CMC curves: one line per method, rank against matching rate, with rank-1 in the legend."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from reid_ext._runtime.arguments import ArgumentError, instance, integer
from reid_ext.viz import canvas

# Distinct for any colour vision (Okabe and Ito). Further curves repeat the colours, dashed.
COLORS: list[canvas.Color] = [
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
    (90, 90, 90),
]
WIDTH, HEIGHT = 1600, 1000
TOP, BOTTOM, LEFT, RIGHT = 110, 880, 150, 60
NUMBERS, MOST_FOR_NAMES = 220, 480  # widths in the legend, in pixels
LABEL, TITLE = 20, 27  # text sizes


class _Axes(NamedTuple):
    """Conversion of ranks and rates to positions on the canvas."""

    right: int
    max_rank: int
    lowest: float
    step: float

    def xy(self, ranks: np.ndarray, rates: np.ndarray) -> np.ndarray:
        x = LEFT + (ranks - 1) / max(self.max_rank - 1, 1) * (self.right - LEFT)
        y = BOTTOM - (rates - self.lowest) / (1 - self.lowest) * (BOTTOM - TOP)
        return np.stack([x, y], axis=-1)


def draw_cmc(
    curves: Mapping[str, np.ndarray], *, title: str = "", max_rank: int = 20
) -> np.ndarray:
    """Return a picture of CMC curves, uint8 RGB of shape (1000, 1600, 3).

    Args:
        curves: Mapping from names to matching rates of shape (K,), fractions in [0, 1], of ranks
            1..K. The legend keeps the order of the mapping, and K may differ between curves.
        title: Title above the axes. Default: no title.
        max_rank: Last rank to show. If every curve is shorter, the axis ends at the longest curve.
            Default: 20.

    Returns:
        The picture as an array.

    Raises:
        ArgumentError: If there is no curve, or a curve has an invalid shape or range.

    Examples:
        >>> import numpy as np
        >>> from reid_ext import viz
        >>> viz.draw_cmc({"ours": np.array([0.6, 0.8, 1.0])}, title="Market-1501").shape
        (1000, 1600, 3)
    """
    title = instance("draw_cmc", "title", title, str)
    rates = read_curves("draw_cmc", curves, max_rank)
    lowest, step = _rate_ticks(min(float(r.min()) for r in rates.values()))
    names = max(canvas.text_width(name, LABEL) for name in rates)
    axes = _Axes(
        right=WIDTH - RIGHT - NUMBERS - min(names, MOST_FOR_NAMES),
        max_rank=max(len(r) for r in rates.values()),
        lowest=lowest,
        step=step,
    )
    image = canvas.blank(HEIGHT, WIDTH)
    title = canvas.shortened(title, TITLE, WIDTH - LEFT - RIGHT, bold=True)
    canvas.put_text(image, title, (LEFT, 66), TITLE, bold=True)
    _draw_axes(image, axes)
    for i, rate in reversed(
        list(enumerate(rates.values()))
    ):  # the first curve is drawn last, on top
        _draw_curve(image, axes, rate, i)
    _draw_legend(image, axes, rates)
    return image


def read_curves(
    function: str, curves: Mapping[str, np.ndarray], max_rank: int
) -> dict[str, np.ndarray]:
    """Return the rates of each curve up to ``max_rank``."""
    max_rank = integer(function, "max_rank", max_rank, 1)
    rates = {
        name: canvas.read_fractions(function, f"curves[{name!r}]", curve)[:max_rank]
        for name, curve in instance(function, "curves", curves, Mapping).items()  # type: ignore[type-abstract]
    }
    if not rates:
        raise ArgumentError(function, "curves", "contain at least one curve", "an empty mapping")
    return rates


def _draw_axes(image: np.ndarray, axes: _Axes) -> None:
    for rate in np.arange(1.0, axes.lowest - 1e-9, -axes.step):
        (_, y) = axes.xy(np.array(1), np.array(rate))
        canvas.put_line(image, [(LEFT, y), (axes.right, y)], canvas.GRID, 2)
        canvas.put_text(image, f"{100 * rate:.0f}%", (LEFT - 18, y + LABEL / 2), LABEL, align=1)
    for rank in rank_ticks(axes.max_rank):
        (x, _) = axes.xy(np.array(rank), np.array(axes.lowest))
        canvas.put_line(image, [(x, BOTTOM), (x, BOTTOM + 10)], canvas.GRAY, 2)
        canvas.put_text(image, str(rank), (x, BOTTOM + 46), LABEL, align=0.5)
    canvas.put_line(image, [(LEFT, BOTTOM), (axes.right, BOTTOM)], canvas.GRAY, 2)
    canvas.put_text(image, "Rank", ((LEFT + axes.right) / 2, BOTTOM + 96), LABEL, align=0.5)
    canvas.put_text_upwards(image, "Matching rate", (32, (TOP + BOTTOM) / 2), LABEL)


def _rate_ticks(smallest: float) -> tuple[float, float]:
    """Return the lowest rate shown, below the smallest one, and the distance of ticks."""
    step = next(step for least, step in ((0.85, 0.05), (0.55, 0.1), (0, 0.2)) if smallest >= least)
    return max(0.0, step * np.floor(smallest / step - 0.2)), step


def rank_ticks(max_rank: int) -> list[int]:
    """Return about ten ranks for the axis, with the first."""
    step = next(s for s in (1, 5, 10, 20, 50, 100, max_rank) if max_rank / s <= 10)
    return sorted({1, *range(step, max_rank + 1, step)})


def _draw_curve(image: np.ndarray, axes: _Axes, rates: np.ndarray, index: int) -> None:
    color = COLORS[index % len(COLORS)]
    ranks = np.arange(1, len(rates) + 1)
    points = axes.xy(ranks, rates)
    if index < len(COLORS):
        canvas.put_line(image, points, color, 5)
    else:
        _draw_dashed(image, points, color)
    for rank in rank_ticks(axes.max_rank):
        if rank <= len(rates):
            canvas.put_dot(image, tuple(points[rank - 1]), 11, canvas.WHITE)
            canvas.put_dot(image, tuple(points[rank - 1]), 8, color)


def _draw_dashed(image: np.ndarray, points: np.ndarray, color: canvas.Color) -> None:
    length = np.concatenate([[0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()])
    for start in np.arange(0, length[-1], 26):
        inside = np.linspace(start, min(start + 15, length[-1]), 8)
        dash = [np.interp(inside, length, points[:, axis]) for axis in (0, 1)]
        canvas.put_line(image, np.stack(dash, axis=-1), color, 5)


def _draw_legend(image: np.ndarray, axes: _Axes, rates: Mapping[str, np.ndarray]) -> None:
    left, right = axes.right + 50, WIDTH - RIGHT + 20
    canvas.put_text(image, "rank-1", (right, TOP + 10), LABEL - 3, color=canvas.GRAY, align=1)
    room = right - 120 - (left + 62)
    for i, (name, rate) in enumerate(rates.items()):
        y = TOP + 62 + min(52, (BOTTOM - TOP - 62) / len(rates)) * i
        sample = np.array([(left, y), (left + 44, y)], dtype=np.float64)
        if i < len(COLORS):
            canvas.put_line(image, sample, COLORS[i], 5)
        else:
            _draw_dashed(image, sample, COLORS[i % len(COLORS)])
        label = canvas.shortened(name, LABEL, room)
        canvas.put_text(image, label, (left + 62, y + LABEL / 2), LABEL)
        percent = f"{100 * rate[0]:.1f}%"
        canvas.put_text(image, percent, (right, y + LABEL / 2), LABEL, align=1)
