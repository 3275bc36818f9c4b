"""The command ``reid-ext``, with one module for each group of commands.

Exit status: 0 for success, 1 if a check failed or the data is invalid, 2 for an invalid command
line, 130 after Ctrl-C. ``--json`` prints one JSON object on stdout instead of lines. Progress and
errors go to stderr.
"""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence

from reid_ext._runtime.arguments import ArgumentError
from reid_ext._runtime.flags import Parser
from reid_ext._runtime.library import version
from reid_ext._runtime.terminal import exit_status, harmless, in_words, with_output
from reid_ext.cli import (
    bench,
    completion,
    data,
    doctor,
    evaluation,
    export,
    extract,
    reranking,
    terminal,
    train,
)
from reid_ext.cli.command import WrongUse, as_typed, warn

DONE, FAILED, WRONG_USE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in ``arguments`` (default: ``sys.argv``) and return its exit status."""
    return with_output("reid-ext", lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    args = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: warn(str(message))
            result = args.run(args)
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"\n{str(stop) or 'interrupted'}\n")
        return exit_status(stop)
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
        return _failed(args, error)
    if args.json:
        print(json.dumps(result.facts, indent=2, default=str))
    else:
        terminal.show(result.lines)
    return DONE if result.ok else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="reid-ext",
        allow_abbrev=False,
        description="Person re-identification: check data, train, extract, evaluate, export.",
    )
    parser.add_argument("--version", action="version", version=f"reid-ext {version()}")
    groups = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    doctor.add_commands(groups)
    data.add_commands(groups)
    train.add_commands(groups)
    extract.add_commands(groups)
    evaluation.add_commands(groups)
    reranking.add_commands(groups)
    export.add_commands(groups)
    bench.add_commands(groups)
    completion.add_commands(groups, parser)
    return parser


def _failed(args: argparse.Namespace, error: Exception) -> int:
    """Print the error as one line on stderr and, with ``--json``, as an object on stdout."""
    if os.environ.get("REID_EXT_TRACEBACK"):
        raise error
    status = WRONG_USE if isinstance(error, WrongUse) else FAILED
    reason = error.__cause__ if isinstance(error, WrongUse) else error
    if isinstance(reason, ArgumentError):
        words, is_flag = as_typed(args, reason)
        text, status = harmless(words), WRONG_USE if is_flag else status
    else:
        text = f"{args.parser.prog}: {in_words(error)}"
    sys.stderr.write(f"{text}\n")
    if args.json:
        print(json.dumps({"ok": False, "error": text}))
    return status
