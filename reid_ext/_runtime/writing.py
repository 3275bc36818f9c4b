"""Writes a file completely or not at all, and raises errors that name the user's argument."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def writes(argument: str, path: Path) -> Iterator[None]:
    """Make an OSError of the block name ``argument`` and ``path`` instead of a temporary file.

    The class and errno of the error stay the same.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        named = type(error)(
            f"{argument} must be a path that can be written, got {path}: {reason}; use another "
            "path or correct this"
        )
        named.errno = error.errno
        raise named from error


@contextmanager
def whole_file(path: Path, suffix: str | None = None) -> Iterator[Path]:
    """Yield an empty file that replaces ``path`` after the block, or is removed if it raises.

    The file is next to ``path`` and has its suffix, or ``suffix`` if given. A file left by a killed
    process is used again. A file that this or another process is writing is left alone.
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
    """Return ``.NAME.part``, or the first ``.NAME.partN`` not in use, and its locked descriptor."""
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
    """Return whether ``path`` is still the open file, not renamed or removed since."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
