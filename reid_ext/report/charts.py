"""Charts as SVG without style attributes: colours are classes of the page's style sheet.

Sizes are units of a view box that is 480 wide, so that text of size 13 stays legible on a phone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from reid_ext.report.markup import Markup, joined, tag

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 66, 24, 12, 48
SERIES = 7  # classes s0..s6


class Axis(NamedTuple):
    """Label, limits and ticks of an axis; a tick is a value with its text."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]


def _x(axis: Axis, values: np.ndarray | float) -> np.ndarray:
    span = (axis.high - axis.low) or 1.0
    return LEFT + (np.asarray(values) - axis.low) / span * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, values: np.ndarray | float) -> np.ndarray:
    span = (axis.high - axis.low) or 1.0
    return HEIGHT - BOTTOM - (np.asarray(values) - axis.low) / span * (HEIGHT - TOP - BOTTOM)


def _points(x: np.ndarray, y: np.ndarray) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def chart(label: str, x: Axis, y: Axis, *content: Markup) -> Markup:
    """Return the content on its axes; ``label`` describes the chart to screen readers."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for value, words in y.ticks:
        at = float(_y(y, value))
        parts.append(tag("line", x1=LEFT, x2=right, y1=at, y2=at, class_="grid"))
        parts.append(tag("text", words, x=LEFT - 6, y=at + 4, text_anchor="end"))
    for value, words in x.ticks:
        parts.append(tag("text", words, x=float(_x(x, value)), y=bottom + 17, text_anchor="middle"))
    parts.append(tag("line", x1=LEFT, x2=right, y1=bottom, y2=bottom, class_="axis"))
    middle = (LEFT + right) / 2
    parts.append(tag("text", x.label, x=middle, y=HEIGHT - 6, text_anchor="middle"))
    middle = (TOP + bottom) / 2
    turned = f"rotate(-90 14 {middle:.0f})"
    parts.append(tag("text", y.label, x=14, y=middle, text_anchor="middle", transform=turned))
    box = f"0 0 {WIDTH} {HEIGHT}"
    return tag("svg", *parts, *content, viewBox=box, role="img", aria_label=label)


def curve(x: Axis, y: Axis, xs: np.ndarray, ys: np.ndarray, series: int, name: str) -> Markup:
    """Return a line that shows its name on hover."""
    points = _points(_x(x, xs), _y(y, ys))
    return tag("polyline", tag("title", name), points=points, class_=f"line s{series % SERIES}")


def band(x: Axis, y: Axis, xs: np.ndarray, low: np.ndarray, high: np.ndarray, s: int) -> Markup:
    """Return the area between two lines."""
    across = np.concatenate([_x(x, xs), _x(x, xs)[::-1]])
    points = _points(across, np.concatenate([_y(y, high), _y(y, low)[::-1]]))
    return tag("polygon", points=points, class_=f"band s{s % SERIES}")


def steps(x: Axis, y: Axis, edges: np.ndarray, heights: np.ndarray, s: int, name: str) -> Markup:
    """Return a histogram as one outline over ``edges`` (bins + 1,)."""
    xs = np.concatenate([edges[:1], np.repeat(edges[1:-1], 2), edges[-1:]])
    ys = np.repeat(heights, 2)
    line = _points(_x(x, xs), _y(y, ys))
    ends = _points(_x(x, edges[[-1, 0]]), _y(y, np.zeros(2)))
    kind = f"s{s % SERIES}"
    return joined(
        tag("polygon", points=f"{line} {ends}", class_=f"band {kind}"),
        tag("polyline", tag("title", name), points=line, class_=f"line {kind}"),
    )


def dots(
    x: Axis, y: Axis, xy: np.ndarray, color: np.ndarray, triangles: np.ndarray, names: Sequence[str]
) -> Markup:
    """Return circles, or triangles where requested; colour -1 is drawn first and faint."""
    px, py = _x(x, xy[:, 0]), _y(y, xy[:, 1])
    parts = []
    for i in np.argsort(color, kind="stable"):
        kind = f"dot s{color[i]}" if color[i] >= 0 else "dot faint"
        title = tag("title", names[i])
        if triangles[i]:
            corners = np.array([(0, -5), (4.5, 3.5), (-4.5, 3.5)]) + np.array([px[i], py[i]])
            parts.append(tag("polygon", title, points=_points(*corners.T), class_=kind))
        else:
            at = {"cx": round(float(px[i]), 1), "cy": round(float(py[i]), 1)}
            parts.append(tag("circle", title, r=3, class_=kind, **at))
    return joined(*parts)


def legend(names: Sequence[str]) -> Markup:
    """Return names beside their colours, in the order of the series."""
    items = [
        tag("li", tag("span", class_=f"swatch s{i % SERIES}"), name) for i, name in enumerate(names)
    ]
    return tag("ul", *items, class_="legend")


def percent_axis(label: str, low: float = 0.0, high: float = 1.0) -> Axis:
    """Return an axis of fractions from ``low`` to ``high`` with ticks at round percentages."""
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25) if (high - low) / s <= 5.01)
    first = max(0.0, np.ceil(low / step - 1e-9))
    values = np.arange(first, high / step + 1e-9) * step + 0.0  # + 0.0 removes the sign of -0.0
    return Axis(label, low, high, [(float(v), f"{100 * v:.0f}%") for v in values])
