"""Where a data set lies: a finished folder appears at once and whole, or not at all.

Images are rendered in a work folder beside the root, `.<root>.rendering-<process>`, which is
renamed to the root once its manifest, the last file, is written. So whatever stops a render, no
half of it is ever taken for a data set. A lock on `.<root>.lock`, which ends with its process,
keeps a second process waiting instead of rendering the same; what a killed process left behind
is removed by the next.
"""

import contextlib
import fcntl
import glob
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reid_ext._writing import writes

MANIFEST = "synthetic.json"


def is_finished(root: Path, manifest: dict[str, Any]) -> bool:
    """Whether ``root`` holds the data set of this manifest; False if there is nothing yet.

    Raises:
        ValueError: ``root`` holds something else, which is left as it is.
    """
    if not root.exists():
        return False
    if not root.is_dir():
        raise ValueError(f"synthesize: root must be a folder, got the file {root}")
    if not (root / MANIFEST).is_file():
        names = sorted(path.name for path in root.iterdir())
        if not names:
            return False
        shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        raise ValueError(
            f"synthesize: root must be empty, absent or a folder that synthesize made, got {root} "
            f"with {shown}; name another folder"
        )
    found = _read(root / MANIFEST)
    other = [key for key in manifest if found.get(key) != manifest[key]]
    if other:
        asked = ", ".join(f"{key} {manifest[key]}" for key in other)
        holds = ", ".join(f"{key} {found.get(key)}" for key in other)
        raise ValueError(
            f"synthesize: root must hold the data set asked for ({asked}), got {root} with "
            f"{holds}; name another folder or delete this one"
        )
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(
            f"synthesize: root must have a readable {path.name}, got {path} that is not a JSON "
            f"object; name another folder or delete this one"
        )
    return found


@contextlib.contextmanager
def work_folder(root: Path) -> Iterator[Path]:
    """An empty folder to render into, for this process alone; removed in the end."""
    place = Path(os.path.realpath(root))  # resolve() has an error of its own for a loop of links
    with writes("synthesize: root", root):
        place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place.with_name(f".{place.name}.lock")):
        for left_over in place.parent.glob(glob.escape(f".{place.name}.rendering-") + "*"):
            shutil.rmtree(left_over)
        # Named by process: a worker that outlives a killed render cannot write into this one.
        folder = place.with_name(f".{place.name}.rendering-{os.getpid()}")
        folder.mkdir()
        try:
            yield folder
        finally:
            if folder.exists():
                shutil.rmtree(folder)


def publish(folder: Path, root: Path, manifest: dict[str, Any]) -> None:
    """Make a rendered folder the finished data set at ``root``, which is absent or empty."""
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    folder.replace(os.path.realpath(root))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file while no other process does; it is removed in the end."""
    while True:
        with writes("synthesize: the folder of root", path.parent):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _wait_for(descriptor)
            if not _is_still(descriptor, path):  # removed by its last owner: no lock at all
                continue
            os.pwrite(descriptor, b"%-20d" % os.getpid(), 0)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _wait_for(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    except BlockingIOError:
        owner = os.pread(descriptor, 20, 0).strip()
    if owner == str(os.getppid()).encode():
        # A worker that imports its parent's script and runs into synthesize would wait for ever.
        raise RuntimeError(
            "synthesize: the call must stand under `if __name__ == '__main__':`, got one that "
            "runs when a worker process imports the script; move it, or pass workers=1"
        )
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
