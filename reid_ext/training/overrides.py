"""Changes to settings of a recipe, such as ``{"learning_rate": 1e-3, "size": (256, 128)}``."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, get_args, get_type_hints

from reid_ext._runtime.argument_error import suggestion
from reid_ext._runtime.arguments import ArgumentError, described, integer, number
from reid_ext.training.recipe import EMBEDDED, Recipe

_WHERE = "RunOptions"
_FIXED = {"name", "modalities"}  # these follow from the dataset
_KINDS = {key: kind for key, kind in get_type_hints(Recipe).items() if key not in _FIXED}
SETTINGS = tuple(field.name for field in fields(Recipe) if field.name in _KINDS)


def checked_settings(settings: Any) -> dict[str, Any]:
    """Return ``settings`` with every value in the type of the recipe.

    Raises:
        ArgumentError: a key is unknown, or a value has another type or is out of range.
    """
    if not isinstance(settings, Mapping):
        raise ArgumentError(_WHERE, "settings", "be a dict", described(settings))
    for key in settings:
        _check_known(key)
    values = {key: _checked(key, value, _KINDS[key]) for key, value in settings.items()}
    try:
        replace(EMBEDDED, **values)  # the limits of the values are the same for every recipe
    except ArgumentError as error:
        raise error.named(_WHERE, **{error.argument: f"settings.{error.argument}"}) from None
    return values


def settings_from_text(assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE`` texts; the last assignment to a key counts.

    A tuple has ``,`` or ``x`` between its numbers. A text of another type stays a text, which
    :func:`checked_settings` rejects.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            requirement = "be given as KEY=VALUE"
            raise ArgumentError(_WHERE, "settings", requirement, repr(assignment))
        _check_known(key)
        values[key] = _from_text(text, _KINDS[key])
    return values


def _check_known(key: Any) -> None:
    if key not in SETTINGS:
        advice = suggestion(key, SETTINGS) or "metrics.json lists them all"
        raise ArgumentError(_WHERE, "settings", "name settings of the recipe", repr(key), advice)


def _checked(key: str, value: Any, kind: Any) -> Any:
    name = f"settings.{key}"
    if kind is int:
        return integer(_WHERE, name, value)
    if kind is float:
        return number(_WHERE, name, value)
    if kind is str:
        if not isinstance(value, str):
            raise ArgumentError(_WHERE, name, "be a string", described(value))
        return value
    length = math.inf if Ellipsis in get_args(kind) else len(get_args(kind))
    if not isinstance(value, list | tuple) or (length < math.inf and len(value) != length):
        count = "integers" if length == math.inf else f"{length} integers"
        raise ArgumentError(_WHERE, name, f"be {count} such as 384x128", described(value))
    return tuple(integer(_WHERE, name, number) for number in value)


def _from_text(text: str, kind: Any) -> Any:
    try:
        if get_args(kind):
            return tuple(int(part) for part in re.split("[,x]", text) if part)
        return kind(text)
    except ValueError:
        return text
