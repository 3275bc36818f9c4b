"""``reid-ext completion SHELL``: what the shell reads to complete our commands, by shtab."""

import argparse
from typing import Any

from reid_ext.cli.command import Result

SHELLS = ("bash", "zsh", "fish")


def add_commands(groups: Any, whole: argparse.ArgumentParser) -> None:
    """Add ``completion`` of the command line ``whole`` to its subparsers."""
    parser = groups.add_parser("completion", help="completion of this command for a shell")
    parser.add_argument("shell", choices=SHELLS)
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=lambda args: _completion(args, whole))


def _completion(args: argparse.Namespace, whole: argparse.ArgumentParser) -> Result:
    try:
        import shtab
    except ImportError:
        raise ImportError(
            'completion needs shtab, which is not installed; install it with pip install "shtab"'
        ) from None
    script = shtab.complete(whole, shell=args.shell)
    return Result([script], {"ok": True, "shell": args.shell, "script": script})
