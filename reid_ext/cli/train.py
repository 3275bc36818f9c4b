"""``reid-ext train DATASET``: the training scripts, installed with the package."""

import argparse
import sys
from contextlib import redirect_stdout
from typing import Any

from reid_ext import distributed
from reid_ext._runtime.arguments import ArgumentError
from reid_ext.cli.command import Result, add_command, add_json
from reid_ext.training import command_line, run

_NOT_OPTIONS = ("run", "parser", "json", "dataset")


def add_commands(groups: Any) -> None:
    """Add the group ``train``, with one command for each dataset."""
    what = "train and evaluate a network on a dataset"
    parser = groups.add_parser("train", help=what, description=f"{what[0].upper()}{what[1:]}.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="DATASET")
    for dataset, setup in command_line.SETUPS.items():
        what = f"train and evaluate on {dataset}"
        command = add_command(commands, setup.short_name, what, _train)
        command.argument_default = argparse.SUPPRESS
        command.set_defaults(dataset=dataset, json=False)
        command_line.add_flags(command, setup)
        add_json(command)


def _train(args: argparse.Namespace) -> Result:
    given = {name: value for name, value in vars(args).items() if name not in _NOT_OPTIONS}
    try:
        options = command_line.options_of(args.parser, args.dataset, given)
        if not args.json:
            return Result([], run(options))
        with redirect_stdout(sys.stderr):  # stdout is for the JSON object
            facts = run(options)
    except ArgumentError as error:
        raise ValueError(command_line.in_flags(error)) from error
    if not distributed.is_main():
        sys.exit(0)
    return Result([], facts)
