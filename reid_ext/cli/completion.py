"""``reid-ext completion SHELL``: the completion script of a shell, made by shtab."""

import argparse
from typing import Any

from reid_ext.cli.command import Result, add_command, add_json, group_of

SHELLS = ("bash", "zsh", "fish")


def add_commands(groups: Any, whole: argparse.ArgumentParser) -> None:
    """Add ``completion`` of the command line ``whole`` to its subparsers."""
    what = "print the completion script of a shell"
    parser = add_command(groups, "completion", what, lambda args: _completion(args, whole))
    what = "shell that reads the script"
    group_of(parser, "output").add_argument("shell", choices=SHELLS, help=what)
    add_json(parser)


def _completion(args: argparse.Namespace, whole: argparse.ArgumentParser) -> Result:
    try:
        import shtab
    except ImportError:
        raise ImportError(
            'completion needs shtab, which is not installed; install it with pip install "shtab"'
        ) from None
    script = shtab.complete(whole, shell=args.shell)
    return Result([script], {"ok": True, "shell": args.shell, "script": script})
