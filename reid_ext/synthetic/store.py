"""Whether a folder holds the data set asked for, by its manifest, and making it the data set."""

import json
from pathlib import Path
from typing import Any

from reid_ext._runtime import unfinished
from reid_ext._runtime.arguments import ArgumentError
from reid_ext.data import SYNTHETIC_MANIFEST

MANIFEST = SYNTHETIC_MANIFEST
_ADVICE = "name another folder or delete this one"


def is_finished(root: Path, manifest: dict[str, Any]) -> bool:
    """Whether ``root`` holds the data set of this manifest; False if there is nothing yet.

    Raises:
        ArgumentError: ``root`` holds something else, which is left as it is.
    """
    if not root.exists():
        return False
    if not root.is_dir():
        raise ArgumentError("synthesize", "root", "be a folder", f"the file {root}")
    if not (root / MANIFEST).is_file():
        names = sorted(path.name for path in root.iterdir())
        if not names:
            return False
        got = f"{root} with {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
        requirement = "be empty, absent or a folder that synthesize made"
        raise ArgumentError("synthesize", "root", requirement, got, "name another folder")
    found = _read(root / MANIFEST)
    other = [key for key in manifest if found.get(key) != manifest[key]]
    if other:
        asked = ", ".join(f"{key} {manifest[key]}" for key in other)
        got = f"{root} with " + ", ".join(f"{key} {found.get(key)}" for key in other)
        requirement = f"hold the requested data set ({asked})"
        raise ArgumentError("synthesize", "root", requirement, got, _ADVICE)
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        got, requirement = f"{path} that is not a JSON object", f"have a readable {path.name}"
        raise ArgumentError("synthesize", "root", requirement, got, _ADVICE)
    return found


def publish(folder: Path, root: Path, manifest: dict[str, Any]) -> None:
    """Make a rendered folder the finished data set at ``root``; its manifest is the last file."""
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    unfinished.publish(folder, root)
