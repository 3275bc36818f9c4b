"""``reid-ext completion SHELL``: what the shell reads to complete our commands, by shtab."""

import argparse
from typing import Any

from reid_ext.cli.command import Result, add_command, add_json

SHELLS = ("bash", "zsh", "fish")


def add_commands(groups: Any, whole: argparse.ArgumentParser) -> None:
    """Add ``completion`` of the command line ``whole`` to its subparsers."""
    what = "print the script by which a shell completes this command"
    parser = add_command(groups, "completion", what, lambda args: _completion(args, whole))
    parser.add_argument("shell", choices=SHELLS, help="the shell that is to read it")
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
