"""Compares the manifest of a folder with the requested dataset, and publishes finished folders."""

import json
from pathlib import Path
from typing import Any

from reid_ext._runtime import unfinished
from reid_ext._runtime.arguments import ArgumentError
from reid_ext.data import SYNTHETIC_MANIFEST

MANIFEST = SYNTHETIC_MANIFEST
_ADVICE = "choose another folder, or delete this one"


def is_finished(root: Path, manifest: dict[str, Any]) -> bool:
    """Whether ``root`` contains the dataset of this manifest; False if it is missing or empty.

    Raises:
        ArgumentError: ``root`` contains other files. They are not changed.
    """
    if not root.exists():
        return False
    if not root.is_dir():
        advice = "choose another path"
        raise ArgumentError("synthesize", "root", "be a folder", f"the file {root}", advice)
    if not (root / MANIFEST).is_file():
        names = sorted(path.name for path in root.iterdir())
        if not names:
            return False
        got = f"{root} with {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
        requirement = "be a new or empty folder, or one that synthesize created"
        raise ArgumentError("synthesize", "root", requirement, got, "choose another folder")
    found = _read(root / MANIFEST)
    other = [key for key in manifest if found.get(key) != manifest[key]]
    if other:
        asked = ", ".join(f"{key} {manifest[key]}" for key in other)
        got = f"{root} with " + ", ".join(f"{key} {found.get(key)}" for key in other)
        requirement = f"hold the requested dataset ({asked})"
        raise ArgumentError("synthesize", "root", requirement, got, _ADVICE)
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        got, requirement = f"{path}, which is not a JSON object", f"have a valid {path.name}"
        raise ArgumentError("synthesize", "root", requirement, got, _ADVICE)
    return found


def publish(folder: Path, root: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest as the last file, and move the rendered folder to ``root``."""
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    unfinished.publish(folder, root)
