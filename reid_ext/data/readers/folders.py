"""Your own images, in one folder for each split with one folder for each identity.

    ROOT/{train,query,gallery}/<identity>/<image>.jpg     .jpeg, .png or .bmp

The name of a folder is the identity, a number or any name. Equal names are the same identity in all
splits.
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
CAMERAS: tuple[int, ...] = ()  # any cameras


def read(root: str | Path, evaluate_on: str = "test", camera: str = "") -> Dataset:
    """Read the file lists of folders of images.

    Args:
        root: Folder that contains train, query and gallery.
        evaluate_on: If ``"test"``, return query and gallery. If ``"val"``, hold out the last sixth
            of the identities of train for validation; query and gallery may be missing. Default:
            ``"test"``.
        camera: Regular expression for the camera in a file name. Its first group must match the
            number, as in ``"_c(\\d+)"``. Default: ``""`` (all images have camera 0; evaluate with
            protocol ``"generic"``).

    Returns:
        Samples sorted by identity and file name. If all folder names are numbers, these are the
        identities. Otherwise an identity is the position, from 0, in the sorted list of all names.

    Raises:
        FileNotFoundError: A folder is missing.
        ArgumentError: A split or an identity has no images, a file name has no camera, ``camera``
            is invalid, or there are fewer than 12 identities to hold out from.
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
    """No published counts."""
    return UNKNOWN


def _camera_pattern(camera: str) -> re.Pattern[str] | None:
    if not camera:
        return None
    requirement = "be a regular expression with a group for the camera number"
    advice = "for example '_c(\\d+)'"
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
        advice = "move the images of each identity into a folder"
        raise ArgumentError(NAME, str(folder), "hold a folder for each identity", "0", advice)
    return names


def _images(folder: Path) -> list[Path]:
    names = image_names(folder)
    if not names:
        requirement = f"hold images ({', '.join(IMAGE_SUFFIXES)})"
        advice = "copy the images of this identity, or remove the folder"
        raise ArgumentError(NAME, str(folder), requirement, "0 images", advice)
    return [folder / name for name in names]


def _camera(path: Path, pattern: re.Pattern[str] | None) -> int:
    if pattern is None:
        return 0
    match = pattern.search(path.name)
    if not match or not match[1].isdecimal():
        requirement = "match a camera number in every file name"
        got = f"{pattern.pattern!r}, which does not match {path}"
        advice = "correct the expression, or rename the file"
        raise ArgumentError(NAME, "camera", requirement, got, advice)
    return int(match[1])
