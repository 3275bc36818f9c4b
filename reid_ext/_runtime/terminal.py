"""Makes output safe: text from data, such as file names, and streams that cannot be written.

A program must not fail with a traceback because its terminal has no Unicode, its output is closed
or its disk is full.
"""

import io
import os
import sys
from collections.abc import Callable

END_OF_PIPE = 141  # what a shell reports for a Unix program whose reader has ended
NOT_WRITTEN = 1

_NO_MEMORY = ("can't allocate memory", '"aten::new_empty"')  # parts of torch's messages


def harmless(text: str) -> str:
    """Replace control characters, except line breaks and tabs, by escapes such as ``\\x1b``.

    The name of a file may contain escape sequences, which a terminal would execute.
    """
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out. On a CPU torch raises a plain RuntimeError for it."""
    text = str(error)
    of_torch = isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)
    return of_torch or isinstance(error, MemoryError)


def in_words(error: BaseException) -> str:
    """Return the message that the command line prints for an error."""
    if is_out_of_memory(error):
        return "out of memory; use a smaller batch, fewer images, or a machine with more memory"
    return harmless(str(error))


def with_output(program: str, run: Callable[[], int]) -> int:
    """Return the exit status of ``run``, or that of output which cannot be written.

    The function ends quietly if the reader of a pipe has ended, such as ``head``, and prints one
    line on stderr for other errors, such as a full disk. Output to a closed stream is dropped.
    """
    _make_writable()
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()
    except OSError as error:
        # Python flushes stdout again when it exits, and must not find the same error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return END_OF_PIPE
        sys.stderr.write(f"{program}: stdout must be writable, got {in_words(error)}\n")
        return NOT_WRITTEN


def _make_writable() -> None:
    """Replace closed streams, and let streams without Unicode print escapes such as ``\\xe9``."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  (until the program ends)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived, with which schedulers and ``kill`` end a process."""


def exit_status(stop: KeyboardInterrupt) -> int:
    """Return the exit status with which a shell reports Ctrl-C or SIGTERM."""
    return 143 if isinstance(stop, Terminated) else 130
