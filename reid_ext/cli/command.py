"""The parts that all commands share: results, groups of flags, and errors that name a flag."""

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
    """A table of texts; the first column is aligned left, the others right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    plain: str | None = None  # printed in a pipe; None: the aligned columns

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
    """What a command prints, as lines or as JSON, and whether its check passed."""

    lines: Iterable[str | Table]
    facts: dict[str, Any]
    ok: bool = True


class WrongUse(ValueError):
    """The command line itself is invalid, for every dataset: exit status 2."""


@contextmanager
def wrong_use() -> Iterator[None]:
    """Turn each ValueError of the block into WrongUse; the block must check flags only."""
    try:
        yield
    except ValueError as error:
        raise WrongUse(str(error)) from error


def add_command(
    groups: Any, name: str, what: str, run: Callable[[argparse.Namespace], Result]
) -> argparse.ArgumentParser:
    """Add a command that calls ``run``; ``what`` is its line in the list of commands."""
    description = f"{what[0].upper()}{what[1:]}."
    parser = groups.add_parser(name, help=what, description=description, allow_abbrev=False)
    parser.set_defaults(run=run, parser=parser)
    return parser


def group_of(parser: argparse.ArgumentParser, title: str) -> Any:
    """The group of flags with that title; a new one if the parser does not have it yet."""
    known = {group.title: group for group in parser._action_groups}
    return known.get(title) or parser.add_argument_group(title)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json`` to the group ``output`` of a parser."""
    what = "print one JSON object on stdout"
    group_of(parser, "output").add_argument("--json", action="store_true", help=what)


def add_device(group: Any, default: str = "cpu") -> None:
    """Add ``--device`` to a group."""
    what = f"device to compute on: cpu, cuda or cuda:N (default: {default})"
    group.add_argument("--device", default=default, metavar="DEVICE", help=what)


def add_images_flags(group: Any) -> None:
    """Add ``--size`` and ``--weights`` of a network to a group."""
    what = "height and width of the images in pixels (default: as in the training)"
    group.add_argument("--size", metavar="HxW", help=what)
    what = "weights of timm:NAME: imagenet, none or a file (default: imagenet)"
    group.add_argument("--weights", default="imagenet", help=what)


def flag_of(name: str) -> str:
    """``lambda_value`` as ``--lambda-value``."""
    return f"--{name.replace('_', '-')}"


def as_typed(args: argparse.Namespace, error: ArgumentError) -> tuple[str, bool]:
    """Return an error in the words of the command line, and whether it is about a flag.

    The command replaces the name of the function, and the flag or positional argument replaces the
    name of the argument. Errors about files name the file already: see :func:`about_files`.
    """
    inner = _OF_MAPPING.fullmatch(error.argument)
    name = inner[1] if inner else error.argument
    by_name = {action.dest: action for action in args.parser._actions}
    if name == "source" and "checkpoint" in by_name:  # of load_embedder
        name = "checkpoint"
    is_flag = name in by_name and bool(by_name[name].option_strings)
    if is_flag:
        name = flag_of(name)
    elif name in by_name:
        name = str(by_name[name].metavar)
    return str(error.named(args.parser.prog, **{error.argument: name})), is_flag


@contextmanager
def about_files(query: Path, gallery: Path | None) -> Iterator[None]:
    """Make errors about the query, the gallery or one of their columns name the file."""
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
    """Print a warning as one line on stderr; the command continues."""
    sys.stderr.write(f"reid-ext: warning: {harmless(text)}\n")


def read_device(text: str) -> torch.device:
    """The device of that name; WrongUse if this machine does not have it."""
    try:
        return named_device(text)
    except ValueError as error:
        raise WrongUse(f"--device {error}") from None


def check_place(flag: str, path: Path, ending: Sequence[str]) -> None:
    """Raise WrongUse if no file with one of these endings can be written to ``path``."""
    if path.suffix not in ending:
        raise WrongUse(f"{flag} must end in {ending[0]}, got {path}")
    if not path.parent.is_dir():
        raise WrongUse(
            f"{flag} must be in a folder that exists, got {path}; make {path.parent} first"
        )
    if path.is_dir():
        raise WrongUse(f"{flag} must be a file, got the folder {path}; give a file in it")


def key_and_value(flag: str, text: str) -> tuple[str, str | int]:
    """Split ``trial=3`` into key and value; digits become an integer."""
    key, equals, value = text.partition("=")
    if not equals:
        raise WrongUse(f"{flag} must be KEY=VALUE, such as trial=3, got {text!r}")
    return key, int(value) if value.isdecimal() else value


def height_and_width(flag: str, text: str | None) -> tuple[int, int] | None:
    """Read ``256x128`` as height and width in pixels."""
    if text is None:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise WrongUse(f"{flag} must be HEIGHTxWIDTH in pixels, such as 256x128, got {text!r}")
    return int(height), int(width)


def read_weights_flag(args: argparse.Namespace) -> str | None:
    """Read ``--weights``: None for ``none``; WrongUse if the network has weights of its own."""
    if args.weights != "imagenet" and not args.checkpoint.startswith("timm:"):
        raise WrongUse(
            f"--weights must be left out unless CHECKPOINT is timm:NAME, got {args.checkpoint}, "
            "which has weights of its own"
        )
    return None if args.weights == "none" else args.weights
