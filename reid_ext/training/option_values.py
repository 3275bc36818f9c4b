"""Checks of single values of :class:`RunOptions`; each returns the value in its plain type."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from reid_ext._runtime.arguments import ArgumentError, choice, described, flag, integer, number
from reid_ext._runtime.device import named_device

WHERE = "RunOptions"
Check = Callable[[str, Any], Any]  # takes the name of the option and its value


def boolean(name: str, value: Any) -> bool:
    return flag(WHERE, name, value)


def whole(least: int) -> Check:
    """A check for integers of at least ``least``."""
    return lambda name, value: integer(WHERE, name, value, least)


def one_of(choices: Iterable[Any]) -> Check:
    allowed = tuple(choices)
    return lambda name, value: choice(WHERE, name, value, allowed)


def share(name: str, value: Any) -> float:
    return number(WHERE, name, value, above=0, most=1)


def text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ArgumentError(WHERE, name, "be a non-empty string", described(value))
    return value


def path(name: str, value: Any) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise ArgumentError(WHERE, name, "be a path", described(value))
    return Path(value)


def batch(name: str, value: Any) -> tuple[int, int]:
    """Number of identities P, and number of images K of each modality per identity."""
    pair = tuple(value) if isinstance(value, list | tuple) else ()
    if len(pair) == 2 and all(type(count) is int and count > 0 for count in pair):
        return pair
    requirement = "be identities and images of each modality per identity, as (8, 4) or 8x4"
    raise ArgumentError(WHERE, name, requirement, described(value))


def device(name: str, value: Any) -> str:
    value = str(value) if isinstance(value, torch.device) else value
    try:
        return str(named_device(text(name, value)))
    except ArgumentError:
        raise
    except ValueError:
        count = torch.cuda.device_count()
        devices = ", ".join(["cpu", *(f"cuda:{index}" for index in range(count))])
        requirement = "be a device of this machine"
        raise ArgumentError(WHERE, name, requirement, repr(value), f"use {devices}") from None


def tables(name: str, value: Any) -> dict[str, Any]:
    """A dict with strings as keys."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ArgumentError(WHERE, name, "be a dict with strings as keys", described(value))
    return dict(value)
