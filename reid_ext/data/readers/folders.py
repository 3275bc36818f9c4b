"""Anybody's images in folders: one for each split, and in it one for each identity.

    ROOT/{train,query,gallery}/<identity>/<image>.jpg     .jpeg, .png or .bmp

A folder's name is the identity: a number, or any name, the same in every split.
"""

import os
import re
from pathlib import Path

from reid_ext._runtime.arguments import ArgumentError, choice, described
from reid_ext.data.readers.expected import UNKNOWN, Expected
from reid_ext.data.readers.hold_out import EVALUATED, hold_out
from reid_ext.data.readers.tree import IMAGE_SUFFIXES, check_folders, image_names, numbered
from reid_ext.data.sample import Dataset, Sample

NAME = "folders"
SPLITS = ("train", "query", "gallery")
CAMERAS: tuple[int, ...] = ()  # whichever there are


def read(root: str | Path, evaluate_on: str = "test", camera: str = "") -> Dataset:
    """Read the file lists of folders of images.

    Args:
        root: The folder that holds train, query and gallery.
        evaluate_on: ``"test"``: query and gallery. ``"val"``: the last sixth of the identities of
            train, which are then not trained on; query and gallery need not be there.
        camera: Regular expression that finds the camera in an image's name: its first group must
            be a number, as in ``"_c(\\d+)"``. Empty: camera 0 for all, to be evaluated by protocol
            ``"generic"``.

    Returns:
        Samples sorted by identity and file name. Identities are the folders' names where all of
        them are numbers, else their places, from 0, in the sorted list of all names.

    Raises:
        FileNotFoundError: a folder is missing.
        ArgumentError: a split or an identity has no images, a name has no camera, ``camera`` is
            not such an expression, or there are too few identities to hold out.
    """
    choice(NAME, "evaluate_on", evaluate_on, EVALUATED)
    pattern = _camera_pattern(camera)
    root = Path(root)
    splits = SPLITS if evaluate_on == "test" else SPLITS[:1]
    check_folders(NAME, root, splits)
    names = {split: _identity_folders(root / split) for split in splits}
    number = numbered(name for of_split in names.values() for name in of_split)
    samples = {
        split: [
            Sample(path, number[name], _camera(path, pattern))
            for name in sorted(names[split], key=number.__getitem__)
            for path in _images(root / split / name)
        ]
        for split in splits
    }
    if evaluate_on == "val":
        return hold_out(NAME, samples["train"])
    return Dataset(NAME, *(samples[split] for split in SPLITS))


def expected(camera: str = "") -> Expected:
    """Nobody publishes how much of it there is."""
    return UNKNOWN


def _camera_pattern(camera: str) -> re.Pattern[str] | None:
    if not camera:
        return None
    requirement = "be a regular expression with a group around the number"
    advice = "such as '_c(\\d+)'"
    try:
        pattern = re.compile(camera)
    except (re.error, TypeError) as error:
        got = f"{described(camera)}: {error}"
        raise ArgumentError(NAME, "camera", requirement, got, advice) from error
    if pattern.groups < 1:
        raise ArgumentError(NAME, "camera", requirement, repr(camera), advice)
    return pattern


def _identity_folders(folder: Path) -> list[str]:
    names = [e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith(".")]
    if not names:
        raise ArgumentError(NAME, str(folder), "hold a folder for each identity", "none")
    return names


def _images(folder: Path) -> list[Path]:
    names = image_names(folder)
    if not names:
        requirement = f"hold images ({', '.join(IMAGE_SUFFIXES)})"
        raise ArgumentError(NAME, str(folder), requirement, "none", "remove it if empty")
    return [folder / name for name in names]


def _camera(path: Path, pattern: re.Pattern[str] | None) -> int:
    if pattern is None:
        return 0
    match = pattern.search(path.name)
    if not match or not match[1].isdecimal():
        got = f"{pattern.pattern!r} and {path}"
        raise ArgumentError(NAME, "camera", "find a number in every image's name", got)
    return int(match[1])
