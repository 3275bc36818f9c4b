"""Starts the command ``reid-ext``.

This module stands outside the package because importing anything from ``reid_ext`` imports torch
first, which takes seconds. Ctrl-C in that time ends the command in the same way as later.
"""

import os
import signal
from types import FrameType

FAILED, INTERRUPTED = 1, 130


def main() -> int:
    """Run the command that ``sys.argv`` names and return its exit status."""
    try:
        os.getcwd()
    except FileNotFoundError:  # MKL would end the process while torch is imported
        os.write(2, b"reid-ext: the current folder no longer exists; change to another one\n")
        return FAILED
    waits_for_ctrl_c = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if waits_for_ctrl_c:  # a shell lets a command in the background ignore SIGINT
        signal.signal(signal.SIGINT, _stop)
    from reid_ext import cli

    if waits_for_ctrl_c:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main()


def _stop(number: int, frame: FrameType | None) -> None:
    """End the process at once: an exception could be lost in the C code that torch imports."""
    os.write(2, b"\ninterrupted\n")
    os._exit(INTERRUPTED)
