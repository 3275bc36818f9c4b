"""Tables of a page: one that can be sorted by column, and one shaded by its values."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from reid_ext.report.markup import Markup, tag

SHADES = 10  # classes h0..h9


class Cell(NamedTuple):
    """The content of a cell, and the number to sort by; without a number it sorts as text."""

    content: str
    value: float | None = None


def sortable(name: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Markup:
    """Return a table with a button in each column head; without scripts its order is fixed."""
    numbers = [all(row[i].value is not None for row in rows) for i in range(len(columns))]
    heads = [
        tag(
            "th",
            tag("button", column, type="button"),
            scope="col",
            aria_sort="none",
            class_="number" if number else None,
        )
        for column, number in zip(columns, numbers, strict=True)
    ]
    body = [tag("tr", *[_cell(cell) for cell in row]) for row in rows]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body), class_="sortable")
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=name)


def _cell(cell: Cell) -> Markup:
    if cell.value is None:
        return tag("td", cell.content)
    value = "" if np.isnan(cell.value) else f"{cell.value:.9g}"
    return tag("td", cell.content, data_value=value, class_="number")


def shaded(
    name: str, corner: str, rows: Sequence[str], columns: Sequence[str], values: np.ndarray
) -> Markup:
    """Return a matrix (rows, columns) of fractions in percent, darker for larger values."""
    heads = [tag("th", corner, scope="col"), *[tag("th", c, scope="col") for c in columns]]
    body = []
    for label, line in zip(rows, values, strict=True):
        cells = [tag("th", label, scope="row")]
        for value in line.tolist():
            if np.isnan(value):
                cells.append(tag("td", "—", class_="number"))
                continue
            shade = min(int(value * SHADES), SHADES - 1)
            cells.append(tag("td", f"{100 * value:.1f}", class_=f"number h{shade}"))
        body.append(tag("tr", *cells))
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body), class_="matrix")
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=name)
