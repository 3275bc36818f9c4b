"""HTML and SVG elements; text that is not Markup is always escaped."""

import html
from typing import TypeAlias

Attribute: TypeAlias = str | int | float | bool | None
_VOID = {"img", "meta"}  # elements without a closing tag


class Markup(str):
    """A string that is HTML."""


def tag(name: str, /, *children: str, **attributes: Attribute) -> Markup:
    """Return an element; ``class_`` and ``data_value`` become ``class`` and ``data-value``.

    Attributes with value None or False are left out. True gives an attribute without a value.
    Children that are not :class:`Markup` are text.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        words.append(key if value is True else f'{key}="{html.escape(_plain(value))}"')
    opened = f"<{' '.join(words)}>"
    return Markup(opened if name in _VOID else f"{opened}{joined(*children)}</{name}>")


def joined(*children: str) -> Markup:
    """Return the concatenated children; text is escaped."""
    return Markup(
        "".join(c if isinstance(c, Markup) else html.escape(c, quote=False) for c in children)
    )


def _plain(value: Attribute) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
