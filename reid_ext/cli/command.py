"""What a command gives back, the errors that mean wrong use, and arguments that several read."""

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from reid_ext._runtime.device import named_device
from reid_ext._runtime.terminal import harmless


class Table(NamedTuple):
    """Rows of words under their columns; the first column is aligned left, the others right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    plain: str | None = None  # where there is no terminal; None: the columns, aligned

    def __str__(self) -> str:
        if self.plain is not None:
            return self.plain
        cells = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in cells
        )


class Result(NamedTuple):
    """What to print, as lines or as JSON, and whether all is well."""

    lines: Iterable[str | Table]
    facts: dict[str, Any]
    ok: bool = True


class WrongUse(ValueError):
    """An argument that argparse lets through and no data can make right."""


def warn(text: str) -> None:
    """A line on stderr that something is odd and the command goes on."""
    sys.stderr.write(f"reid-ext: warning: {harmless(text)}\n")


def read_device(text: str) -> torch.device:
    """The device of that name; WrongUse if this machine has none."""
    try:
        return named_device(text)
    except ValueError as error:
        raise WrongUse(f"--device {error}") from None


def check_place(flag: str, path: Path) -> None:
    """WrongUse if no file can be there."""
    if not path.parent.is_dir():
        raise WrongUse(
            f"{flag} must be in a folder that exists, got {path}; make {path.parent} first"
        )
    if path.is_dir():
        raise WrongUse(f"{flag} must be a file, got the folder {path}; name a file in it")


def at_least(flag: str, value: float | None, least: float) -> None:
    """WrongUse if a value was given that is below ``least`` or no finite number."""
    if value is not None and not least <= value < math.inf:
        finite = " and finite" * isinstance(value, float)
        raise WrongUse(f"{flag} must be at least {least}{finite}, got {value}")


def key_and_value(flag: str, text: str) -> tuple[str, str | int]:
    """``trial=3`` as name and value, a number where it is one."""
    key, equals, value = text.partition("=")
    if not equals:
        raise WrongUse(f"{flag} must be KEY=VALUE, such as trial=3, got {text!r}")
    return key, int(value) if value.isdecimal() else value


def height_and_width(flag: str, text: str | None) -> tuple[int, int] | None:
    """``256x128`` as two numbers of pixels."""
    if text is None:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise WrongUse(f"{flag} must be HEIGHTxWIDTH in pixels, such as 256x128, got {text!r}")
    return int(height), int(width)


def read_weights_flag(args: argparse.Namespace) -> str | None:
    """``--weights``, None for none; WrongUse where the network has its own."""
    if args.weights != "imagenet" and not args.checkpoint.startswith("timm:"):
        raise WrongUse(
            f"--weights must come with timm:NAME, got {args.checkpoint}, which has weights of its "
            "own; leave --weights out"
        )
    return None if args.weights == "none" else args.weights
