"""Your own images, in one folder for each split with one folder for each identity.

    ROOT/{train,query,gallery}/<identity>/<image>.jpg     .jpeg, .png or .bmp

The name of a folder is the identity, a number or any name. Equal names are the same identity in all
splits.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from reid_ext._runtime.arguments import ArgumentError, choice, described
from reid_ext._runtime.labels import numbers_of
from reid_ext.data.readers.expected import UNKNOWN, Expected
from reid_ext.data.readers.hold_out import EVALUATED, NOBODY, divided_by_person, hold_out
from reid_ext.data.readers.tree import IMAGE_SUFFIXES, check_folders, image_names, is_system
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
            number, as in ``"_c(\\d+)"``, or a name, as in ``"^([ABC])_"``. Default: ``""`` (all
            images have camera 0; evaluate with protocol ``"generic"``).

    Returns:
        Samples sorted by identity and file name. If all folder names are different numbers, these
        are the identities. Otherwise the names are numbered from 1 in sorted order, except that
        ``-1`` stays junk and ``0`` stays a distractor, and ``Sample.label`` has the name. If the
        folder train is missing, the dataset has no training images. Junk and distractors of train
        are left out, see ``Dataset.left_out``.

    Raises:
        FileNotFoundError: A folder is missing.
        ArgumentError: A split or an identity has no images, a file name has no camera, ``camera``
            is invalid, or there are fewer than 12 identities to hold out from.
    """
    choice(NAME, "evaluate_on", evaluate_on, EVALUATED)
    pattern = _camera_pattern(camera)
    root = Path(root)
    splits: tuple[str, ...] = SPLITS if evaluate_on == "test" else SPLITS[:1]
    places = {split: root / name for split, name in _split_folders(root).items()}
    if evaluate_on == "test" and SPLITS[0] not in places:
        splits = SPLITS[1:]
    if any(split not in places for split in splits):
        check_folders(NAME, root, splits)
    names = {split: _identity_folders(places[split]) for split in splits}
    numbers = numbers_of(name for of_split in names.values() for name in of_split)
    paths = {
        split: [
            (path, name)
            for name in sorted(names[split], key=numbers.of.__getitem__)
            for path in _images(places[split] / name)
        ]
        for split in splits
    }
    camera_of = _cameras([path for of in paths.values() for path, _ in of], pattern)
    samples = {
        split: [
            Sample(path, numbers.of[name], camera_of[path], label=name * numbers.renumbered)
            for path, name in of
        ]
        for split, of in paths.items()
    }
    place = f"{root / SPLITS[0]}"
    train, nobody = divided_by_person(NAME, place, samples.get(SPLITS[0], []))
    if evaluate_on == "val":
        return hold_out(NAME, train).without(NOBODY, nobody)
    return Dataset(NAME, train, samples["query"], samples["gallery"]).without(NOBODY, nobody)


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


def _split_folders(root: Path) -> dict[str, str]:
    """The name of the folder of each split, compared without case."""
    found: dict[str, str] = {}
    for name in sorted(os.listdir(root)) if root.is_dir() else ():
        split = name.lower()
        if split in SPLITS and (root / name).is_dir():
            if split in found:
                got, advice = f"{found[split]} and {name}", "merge them"
                raise ArgumentError(NAME, str(root), f"hold one folder {split}", got, advice)
            found[split] = name
    return found


def _identity_folders(folder: Path) -> list[str]:
    names = [e.name for e in os.scandir(folder) if e.is_dir() and not is_system(e.name)]
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


def _cameras(paths: Sequence[Path], pattern: re.Pattern[str] | None) -> dict[Path, int]:
    if pattern is None:
        return dict.fromkeys(paths, 0)
    found = {path: pattern.search(path.name) for path in paths}
    for path, match in found.items():
        if not match or not match[1]:
            requirement = "match a camera in every file name"
            got = f"{pattern.pattern!r}, which does not match {path}"
            advice = "correct the expression, or rename the file"
            raise ArgumentError(NAME, "camera", requirement, got, advice)
    names = {path: match[1] for path, match in found.items() if match}
    numbers = numbers_of(names.values()).of
    return {path: numbers[name] for path, name in names.items()}
