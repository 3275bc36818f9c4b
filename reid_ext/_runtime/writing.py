"""Where a result goes: a file is there whole or not at all, and a place that cannot be written to
is refused by the argument that named it."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def writes(argument: str, path: Path) -> Iterator[None]:
    """An OSError of the block as one of ``argument``, not of the unfinished file beside ``path``.

    Its class and errno stay as they were.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        named = type(error)(
            f"{argument} must be a place that can be written, got {path}: {reason}; name another "
            "or mend that"
        )
        named.errno = error.errno
        raise named from error


@contextmanager
def whole_file(path: Path, suffix: str | None = None) -> Iterator[Path]:
    """An empty file to write, which becomes ``path`` after the block, or goes where that raises.

    It lies beside ``path`` and has its suffix, or the one given. One that a killed process left is
    taken over, so they never add up; one that is being written, here or by another process, is
    left alone.
    """
    if path.is_dir():  # before the work
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    part, lock = _unfinished(path, path.suffix if suffix is None else suffix)
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(lock)


def _unfinished(path: Path, suffix: str) -> tuple[Path, int]:
    """``.NAME.part``, or the first ``.NAME.partN`` that nobody writes, and what locks it."""
    number = 0
    while True:
        part = path.with_name(f".{path.stem}.part{number or ''}{suffix}")
        lock = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        if _is_free(lock) and is_still(lock, part):
            os.truncate(lock, 0)
            return part, lock
        os.close(lock)
        number += 1


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def is_still(descriptor: int, path: Path) -> bool:
    """Whether ``path`` is the open file: not one since renamed or removed by who held its lock."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
