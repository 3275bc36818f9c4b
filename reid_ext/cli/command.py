"""What a command is and returns, and how its errors name the flag or the file they are about."""

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from reid_ext._runtime.arguments import ArgumentError
from reid_ext._runtime.device import named_device
from reid_ext._runtime.terminal import harmless

_OF_MAPPING = re.compile(r"\w+\['(\w+)'\]")  # such as rerank['k1']


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
    """A command line that no data can make right: exit status 2."""


@contextmanager
def wrong_use() -> Iterator[None]:
    """Let any ValueError of the block, which looks at flags alone, be wrong use."""
    try:
        yield
    except ValueError as error:
        raise WrongUse(str(error)) from error


def add_command(
    groups: Any, name: str, what: str, run: Callable[[argparse.Namespace], Result]
) -> argparse.ArgumentParser:
    """Add a command that calls ``run``; ``what`` is its line in the list of commands."""
    parser = groups.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_json(parser: Any) -> None:
    """Add ``--json`` to a parser or a group of its flags."""
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def flag_of(name: str) -> str:
    """``lambda_value`` as ``--lambda-value``."""
    return f"--{name.replace('_', '-')}"


def as_typed(args: argparse.Namespace, error: ArgumentError) -> tuple[str, bool]:
    """An error in words of the command line, and whether a flag is wrong rather than the data.

    The library's function becomes the command, and its argument the flag or positional argument of
    that name. Errors about files name them already: see :func:`about_files`.
    """
    inner = _OF_MAPPING.fullmatch(error.argument)
    name = inner[1] if inner else error.argument
    by_name = {action.dest: action for action in args.parser._actions}
    is_flag = name in by_name and bool(by_name[name].option_strings)
    if is_flag:
        name = flag_of(name)
    elif name in by_name:
        name = str(by_name[name].metavar)
    return str(error.named(args.parser.prog, **{error.argument: name})), is_flag


@contextmanager
def about_files(query: Path, gallery: Path | None) -> Iterator[None]:
    """Let errors about the query, the gallery or a column of these name the file instead."""
    files = {"query": query, "gallery": gallery or query}
    try:
        yield
    except ArgumentError as error:
        side, _, column = error.argument.partition(".")
        if side not in files:
            raise
        place = f"{files[side]}: {column}" if column else str(files[side])
        raise error.named(error.function, **{error.argument: place}) from None


def warn(text: str) -> None:
    """Print a line on stderr about something odd with which the command goes on."""
    sys.stderr.write(f"reid-ext: warning: {harmless(text)}\n")


def read_device(text: str) -> torch.device:
    """The device of that name; WrongUse if this machine has none."""
    try:
        return named_device(text)
    except ValueError as error:
        raise WrongUse(f"--device {error}") from None


def check_place(flag: str, path: Path, ending: Sequence[str]) -> None:
    """WrongUse if no file with one of these endings can be there."""
    if path.suffix not in ending:
        raise WrongUse(f"{flag} must end in {ending[0]}, got {path}")
    if not path.parent.is_dir():
        raise WrongUse(
            f"{flag} must be in a folder that exists, got {path}; make {path.parent} first"
        )
    if path.is_dir():
        raise WrongUse(f"{flag} must be a file, got the folder {path}; name a file in it")


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
