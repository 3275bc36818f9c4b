"""Writes a folder completely or not at all.

The folder is filled next to its final place as `.<name>.unfinished-<process>` and renamed at the
end, so an interrupted run never leaves half a dataset. A lock on `.<name>.lock` makes a second
process wait instead of doing the same work. The lock ends with its process, and the next process
removes the files that a killed process left behind.
"""

import contextlib
import fcntl
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from reid_ext._runtime.writing import is_still, writes


@contextlib.contextmanager
def work_folder(path: Path, where: str, name: str) -> Iterator[Path]:
    """Yield an empty folder of this process, to fill and then :func:`publish`.

    A folder that is not published is removed. Errors name the argument ``name`` of the function
    ``where``.
    """
    place = Path(os.path.realpath(path))  # resolve() raises its own error for a loop of links
    with writes(f"{where}: {name}", path):
        place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place.with_name(f".{place.name}.lock"), where, name):
        for left_over in place.parent.glob(glob.escape(f".{place.name}.unfinished-") + "*"):
            shutil.rmtree(left_over)
        # The process id in the name keeps workers of a killed process from writing here.
        folder = place.with_name(f".{place.name}.unfinished-{os.getpid()}")
        folder.mkdir()
        try:
            yield folder
        finally:
            if folder.exists():
                shutil.rmtree(folder)


def publish(folder: Path, path: Path) -> None:
    """Move a finished work folder to ``path``, which must be missing or empty."""
    folder.replace(os.path.realpath(path))


@contextlib.contextmanager
def _locked(path: Path, where: str, name: str) -> Iterator[None]:
    """Wait for a lock file, hold it, and remove it at the end."""
    while True:
        with writes(f"{where}: the folder of {name}", path.parent):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _wait_for(descriptor, where)
            if not is_still(descriptor, path):  # its last owner removed it, so it locks nothing
                continue
            os.pwrite(descriptor, b"%-20d" % os.getpid(), 0)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _wait_for(descriptor: int, where: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    except BlockingIOError:
        owner = os.pread(descriptor, 20, 0).strip()
    if owner == str(os.getppid()).encode():
        # The parent holds the lock and imports this script in a worker, which would wait for ever.
        raise RuntimeError(
            f"{where}: the call must be inside `if __name__ == '__main__':`, got a call that "
            "runs again when a worker process imports the script; move it, or pass workers=1"
        )
    fcntl.flock(descriptor, fcntl.LOCK_EX)
