"""The command line of the training scripts, whose flags are the fields of ``RunOptions``.

    command_line.main(__doc__, "market1501")

reads the flags and trains. An error that the user can correct is printed as one line.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch

from reid_ext._runtime.arguments import ArgumentError
from reid_ext._runtime.device import named_device
from reid_ext._runtime.flags import Parser
from reid_ext._runtime.terminal import exit_status, in_words, is_out_of_memory
from reid_ext.training.config_file import read_config
from reid_ext.training.options import GROUPS, RunOptions, default_of
from reid_ext.training.overrides import settings_from_text
from reid_ext.training.pipeline import run
from reid_ext.training.setups import SETUPS, Setup, SplitOption

_NO_FLAG = ("dataset", "split")  # each script has one dataset; each split option has a flag
_OF_ONE_GALLERY = ("by_viewpoint",)
_CONFIG = "TOML file with options, such as OUT/config.toml, over which flags take precedence"


def main(description: str, dataset: str) -> None:
    """Parse the command line and carry out the run.

    Args:
        description: Docstring of the script, which ``--help`` shows.
        dataset: A key of ``SETUPS``.
    """
    with one_line_errors():
        run(parse(description, dataset))


def parse(description: str, dataset: str, arguments: Sequence[str] | None = None) -> RunOptions:
    """Return the options of the command line.

    Args:
        description: As for :func:`main`.
        dataset: As for :func:`main`.
        arguments: Words of the command line. Default: None, those of this process.

    Raises:
        SystemExit: ``--help`` was given, or a flag is invalid (status 2).
        ValueError: the configuration file or a setting of the recipe is invalid.
        OSError: the configuration file cannot be read.
    """
    parser = _parser(description, SETUPS[dataset])
    return options_of(parser, dataset, vars(parser.parse_args(arguments)))


def options_of(parser: argparse.ArgumentParser, dataset: str, given: dict[str, Any]) -> RunOptions:
    """Return the options for the flags that are given; ``parser`` reports the invalid ones.

    Raises:
        SystemExit: a flag is invalid (status 2).
        ValueError: the configuration file or a setting of the recipe is invalid.
        OSError: the configuration file cannot be read.
    """
    setup = SETUPS[dataset]
    config = given.pop("config", None)
    split = {name: given.pop(name) for name in setup.split if name in given}
    options: dict[str, Any]
    options = {"dataset": dataset} if config is None else _from_config(config, dataset)
    try:
        if "settings" in given:
            given["settings"] = options.get("settings", {}) | settings_from_text(given["settings"])
        if split:
            given["split"] = options.get("split", {}) | split
        return RunOptions(**options | given)
    except ArgumentError as error:
        option, _, part = error.argument.partition(".")
        if option in given and option != "settings":
            parser.error(in_flags(error))
        if config is not None and option not in given and part not in split:
            raise ValueError(f"--config {config}: {_without_function(error)}") from error
        raise


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the script with one line instead of a traceback if the user can correct the error.

    REID_EXT_TRACEBACK=1 shows the traceback.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"\n{str(stop) or 'interrupted'}\n")
        sys.exit(exit_status(stop))
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not _is_of_the_machine(error):
            raise
        if os.environ.get("REID_EXT_TRACEBACK"):
            raise
        text = in_flags(error) if isinstance(error, ArgumentError) else in_words(error)
        sys.stderr.write(f"error: {text}\n")
        sys.exit(1)


def known_device(text: str) -> str:
    """Return ``cpu``, ``cuda`` or ``cuda:N``; a type for argparse that rejects other devices."""
    try:
        return str(named_device(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _is_of_the_machine(error: RuntimeError) -> bool:
    """Whether the machine ran out of memory; any other RuntimeError is a bug."""
    return isinstance(error, torch.OutOfMemoryError) or is_out_of_memory(error)


def in_flags(error: ArgumentError) -> str:
    """The text of an error, with flags instead of option names."""
    if error.function not in ("run", RunOptions.__name__, read_config.__name__):
        return in_words(error)
    return in_words(ValueError(_without_function(error.named("", **_flags(error.argument)))))


def _without_function(error: ArgumentError) -> str:
    advice = f"; {error.advice}" if error.advice else ""
    return f"{error.argument} must {error.requirement}, got {error.value}{advice}"


def _flags(argument: str) -> dict[str, str]:
    """Map an option, or a part of one such as ``settings.size``, to its flag."""
    option, _, part = argument.partition(".")
    if option == "settings" and part:
        return {argument: f"--set: {part}"}
    if option == "split" and part:
        return {argument: _flag(part)}
    if option in ("path", "keys"):  # errors about the configuration file
        return {argument: f"--config: {option}"}
    return {argument: _flag(option)}


def _flag(option: str) -> str:
    return "--set" if option == "settings" else f"--{option.replace('_', '-')}"


def _from_config(path: str, dataset: str) -> dict[str, Any]:
    options = read_config(path)
    if options.setdefault("dataset", dataset) != dataset:
        raise ValueError(
            f"--config must be the file of a run on {dataset}, got {path} of a run on "
            f"{options['dataset']!s:.80}; use the script of that dataset"
        )
    for table in ("settings", "split"):
        if not isinstance(options.get(table, {}), dict):
            raise ValueError(f"--config {path}: {table} must be a table, got another value")
    return options


def _parser(description: str, setup: Setup) -> argparse.ArgumentParser:
    parser = Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    add_flags(parser, setup)
    return parser


def add_flags(parser: argparse.ArgumentParser, setup: Setup) -> None:
    """Add all flags in groups; the default of the parser must be ``argparse.SUPPRESS``."""
    parser.add_argument("--config", metavar="FILE", help=_with_default(_CONFIG, "none"))
    hints = get_type_hints(RunOptions)
    for group in GROUPS:
        flags = parser.add_argument_group(group)
        for item in fields(RunOptions):
            left_out = item.name in _NO_FLAG or (
                item.name in _OF_ONE_GALLERY and not setup.one_gallery
            )
            if item.metadata["group"] == group and not left_out:
                keywords = _keywords(item, hints[item.name])
                if item.name == "data" and setup.synthetic_recipe is None:
                    keywords["help"] = f"{setup.data_is} (required)"
                flags.add_argument(_flag(item.name), **keywords)
        if group == "data":
            for name, option in setup.split.items():
                flags.add_argument(_flag(name), **_keywords_of_split(option))


def _keywords(item: Field, hint: Any) -> dict[str, Any]:
    """The arguments of ``add_argument`` for an option, whose values ``RunOptions`` checks."""
    help = item.metadata["help"]
    if "choices" in item.metadata and "metavar" in item.metadata:  # too many for the usage line
        help = f"{help}: {', '.join(item.metadata['choices'])}"
    help = _with_default(help, default_of(item.name))
    keywords: dict[str, Any] = {"dest": item.name, "help": help}
    kinds = get_args(hint) or (hint,)
    if hint is bool:
        return {**keywords, "action": argparse.BooleanOptionalAction}
    if item.name == "settings":
        keywords |= {"nargs": "+", "action": "extend"}
    for key in ("choices", "metavar"):
        if key in item.metadata:
            keywords[key] = item.metadata[key]
    if item.name == "batch":
        keywords["type"] = _batch
    elif int in kinds or float in kinds:
        keywords["type"] = _reader(int if int in kinds else float)
    elif Path in kinds:
        keywords["type"] = Path
    return keywords


def _keywords_of_split(option: SplitOption) -> dict[str, Any]:
    keywords: dict[str, Any] = {"help": _with_default(option.help, option.unset or option.default)}
    if option.metavar is not None:
        keywords["metavar"] = option.metavar
    if option.choices is not None:
        keywords |= {"choices": option.choices, "type": type(option.choices[0])}
    if option.several:
        keywords["nargs"] = "+"
    return keywords


def _with_default(help: str, default: Any) -> str:
    return f"{help} (default: {default})".replace("%", "%%")


def _reader(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Read a number; RunOptions rejects any other text."""

    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            return text

    return read


def _batch(text: str) -> Any:
    """Read PxK; RunOptions rejects any other text."""
    identities, _, images = text.partition("x")
    if identities.isdecimal() and images.isdecimal():
        return int(identities), int(images)
    return text
