"""A folder that appears at once and whole, or not at all.

It is filled beside its place, as `.<name>.unfinished-<process>`, and renamed in the end. So
whatever stops the work, no half of it is ever taken for a data set. A lock on `.<name>.lock`, which
ends with its process, keeps a second process waiting instead of doing the same; what a killed
process left behind is removed by the next.
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
    """An empty folder to fill and then :func:`publish`, for this process alone; else removed.

    Errors name the argument ``name`` of the function ``where``.
    """
    place = Path(os.path.realpath(path))  # resolve() has an error of its own for a loop of links
    with writes(f"{where}: {name}", path):
        place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place.with_name(f".{place.name}.lock"), where, name):
        for left_over in place.parent.glob(glob.escape(f".{place.name}.unfinished-") + "*"):
            shutil.rmtree(left_over)
        # Named by process: a worker that outlives a killed one cannot write into this one.
        folder = place.with_name(f".{place.name}.unfinished-{os.getpid()}")
        folder.mkdir()
        try:
            yield folder
        finally:
            if folder.exists():
                shutil.rmtree(folder)


def publish(folder: Path, path: Path) -> None:
    """Make a work folder the finished one at ``path``, which is absent or empty."""
    folder.replace(os.path.realpath(path))


@contextlib.contextmanager
def _locked(path: Path, where: str, name: str) -> Iterator[None]:
    """Hold a lock file while no other process does; it is removed in the end."""
    while True:
        with writes(f"{where}: the folder of {name}", path.parent):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _wait_for(descriptor, where)
            if not is_still(descriptor, path):  # removed by its last owner: no lock at all
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
        # A worker that imports its parent's script and runs into the call would wait for ever.
        raise RuntimeError(
            f"{where}: the call must stand under `if __name__ == '__main__':`, got one that "
            "runs when a worker process imports the script; move it, or pass workers=1"
        )
    fcntl.flock(descriptor, fcntl.LOCK_EX)
