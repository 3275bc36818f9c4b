"""The command ``reid-ext``: one module of this folder for each group of commands.

Exit status: 0 done; 1 the data says no, with the reason; 2 wrong use; 130 after Ctrl-C. ``--json``
prints one JSON object on stdout instead of lines; progress and errors go to stderr.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from reid_ext._runtime.library import version
from reid_ext._runtime.terminal import in_words
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
)
from reid_ext.cli.command import WrongUse

DONE, NO, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, as ``sys.argv`` or ``arguments`` name it; returns the exit status."""
    args = _parser().parse_args(arguments)
    try:
        result = args.run(args)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED
    except WrongUse as error:
        return _failed(args, error, WRONG_USE)
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
        return _failed(args, error, NO)
    if args.json:
        print(json.dumps(result.facts, indent=2, default=str))
    else:
        terminal.show(result.lines)
    return DONE if result.ok else NO


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reid-ext", description="Person re-identification: data, and what to do with it."
    )
    parser.add_argument("--version", action="version", version=f"reid-ext {version()}")
    groups = parser.add_subparsers(required=True, metavar="COMMAND")
    doctor.add_commands(groups)
    data.add_commands(groups)
    extract.add_commands(groups)
    evaluation.add_commands(groups)
    reranking.add_commands(groups)
    export.add_commands(groups)
    bench.add_commands(groups)
    completion.add_commands(groups, parser)
    return parser


def _failed(args: argparse.Namespace, error: Exception, status: int) -> int:
    """One line for the person, and where asked for an object for the program."""
    if os.environ.get("REID_EXT_TRACEBACK"):
        raise error
    sys.stderr.write(f"reid-ext: error: {in_words(error)}\n")
    if args.json:
        print(json.dumps({"ok": False, "error": in_words(error)}))
    return status
