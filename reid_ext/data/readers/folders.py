"""Anybody's images in folders: one for each split, and in it one for each identity.

    ROOT/{train,query,gallery}/<identity>/<image>.jpg     .jpeg, .png or .bmp

A folder's name is the identity: a number, or any name, the same in every split.
"""

import os
import re
from pathlib import Path

from reid_ext.data.readers.expected import UNKNOWN, Expected
from reid_ext.data.readers.hold_out import check_evaluated, hold_out
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
        ValueError: a split or an identity without images, a name without camera, ``camera`` no
            such expression, or too few identities to hold out.
    """
    check_evaluated(NAME, evaluate_on)
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
    where = f"{NAME}: camera must be a regular expression with a group around the number"
    try:
        pattern = re.compile(camera)
    except re.error as error:
        raise ValueError(f"{where}, got {camera!r}: {error}") from error
    if pattern.groups < 1:
        raise ValueError(f"{where}, such as '_c(\\d+)', got {camera!r}")
    return pattern


def _identity_folders(folder: Path) -> list[str]:
    names = [e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith(".")]
    if not names:
        raise ValueError(f"{NAME}: {folder} must hold a folder for each identity, got none")
    return names


def _images(folder: Path) -> list[Path]:
    names = image_names(folder)
    if not names:
        raise ValueError(
            f"{NAME}: {folder} must hold images ({', '.join(IMAGE_SUFFIXES)}), got none; remove it "
            "if there are none of this identity"
        )
    return [folder / name for name in names]


def _camera(path: Path, pattern: re.Pattern[str] | None) -> int:
    if pattern is None:
        return 0
    match = pattern.search(path.name)
    if not match or not match[1].isdecimal():
        raise ValueError(
            f"{NAME}: camera must find a number in every image's name, got {pattern.pattern!r} and "
            f"{path}"
        )
    return int(match[1])
