"""Changes to a recipe as text: ``--set learning_rate=1e-3 size=256x128``."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, get_args, get_type_hints

from reid_ext.training.recipe import Recipe

_FIXED = {"name", "modalities"}  # what the dataset says


def overridden(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """Return ``recipe`` with every ``KEY=VALUE`` of ``assignments`` in place.

    A value is read as what the recipe holds there: a number, a text, or numbers with ``,`` or
    ``x`` between them for a tuple. Of two assignments to one key the last counts.

    Raises:
        ValueError: no such key, or a value that is not of its kind; or a value the recipe refuses.
    """
    hints = get_type_hints(Recipe)
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(f"--set: an argument must be KEY=VALUE, got {assignment!r}")
        _check_known(key)
        changes[key] = _read(key, text, hints[key])
    return replace(recipe, **changes)


def _check_known(key: str) -> None:
    names = [f.name for f in fields(Recipe) if f.name not in _FIXED]
    if key not in names:
        near = difflib.get_close_matches(key, names, 3)
        hint = f"such as {', '.join(near)}" if near else "metrics.json of any run has all of them"
        raise ValueError(f"--set: KEY must be a setting of the recipe, got {key!r}; {hint}")


def _read(key: str, text: str, kind: Any) -> Any:
    try:
        return _tuple(text, kind) if get_args(kind) else kind(text)
    except ValueError:
        what = "whole numbers such as 384x128" if get_args(kind) else f"of type {kind.__name__}"
        raise ValueError(f"--set: {key} must be {what}, got {text!r}") from None


def _tuple(text: str, kind: Any) -> tuple[Any, ...]:
    """Numbers of a ``tuple[int, int]`` or a ``tuple[int, ...]``."""
    of, *more = get_args(kind)
    values = tuple(of(part) for part in re.split("[,x]", text) if part)
    if more != [Ellipsis] and len(values) != 1 + len(more):
        raise ValueError
    return values
