"""Runs a function in a forked process and reports its error, its end and its memory.

The parent has imported everything, so one run takes milliseconds.
"""

import contextlib
import os
import pickle
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

MIB = 1 << 20
MOST_SAID = 30_000  # characters of a result; they fit into the buffer of the pipe


class Outcome(NamedTuple):
    """The outcome of one call.

    Attributes:
        error: Name of the type of the error, or "" if the call returned.
        text: Message of the error, or the representation of the result.
        ended: Signal or status that ended the process before it could report, or "".
        grown: Peak resident memory minus the resident memory at the start, in bytes.
    """

    error: str
    text: str
    ended: str
    grown: int


def run(
    what: Callable[[], Any], *, seconds: int = 30, memory: int | None = None, quiet: bool = True
) -> Outcome:
    """Call a function in a forked process, with a time limit and a limit of additional memory."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(what, writing, seconds, memory, quiet)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status, usage = os.wait4(child, 0)
    if not said:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        ended = (
            signal.Signals(number).name if number else f"status {os.waitstatus_to_exitcode(status)}"
        )
        return Outcome("", "", ended, 0)
    error, text, before = pickle.loads(said)
    return Outcome(error, text, "", max(0, usage.ru_maxrss * 1024 - before))


def _child(
    what: Callable[[], Any], pipe: int, seconds: int, memory: int | None, quiet: bool
) -> None:
    signal.alarm(seconds)
    if quiet:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2):
            os.dup2(null, stream)
    before = resident()
    if memory is not None:
        limit = address_space() + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        said = ("", repr(what())[:MOST_SAID], before)
    except BaseException as error:
        text = str(error)
        if os.environ.get("HARDENING_TRACEBACK"):
            text += traceback.format_exc()
        said = (type(error).__name__, text[:4000], before)
    with contextlib.suppress(BaseException):
        os.write(pipe, pickle.dumps(said))
    os._exit(0)


def resident() -> int:
    """Resident memory of this process in bytes."""
    return _statm(1)


def address_space() -> int:
    """Size of the address space of this process in bytes."""
    return _statm(0)


def _statm(field: int) -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[field]) * resource.getpagesize()
