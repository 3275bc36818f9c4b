"""Market-1501: six visible cameras.

    ROOT/{bounding_box_train,query,bounding_box_test}/<identity>_c<camera>s<part>_<frame>_<box>.jpg
    ROOT/views.json                      only the embedded dataset: path below ROOT -> view

Identity 0000 is nobody in particular, a distractor; -1 is junk, a bad box. Both are in the gallery.

Source: Zheng et al., ICCV 2015, and the file names of the dataset.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from reid_ext.data.sample import Dataset, Sample
from reid_ext.data.views import read_views

NAME = "market1501"
TRAIN, QUERY, GALLERY = FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
DISTRACTOR, JUNK = 0, -1
_IMAGE_NAME = re.compile(r"(-1|\d{4})_c([1-6])s\d_\d{6}_\d{2}(?:\.jpg){1,2}", re.IGNORECASE)
_VALIDATED = 6  # one of so many training identities


def read(root: str | Path, evaluate_on: str = "test") -> Dataset:
    """Read the file lists of Market-1501.

    Args:
        root: The folder that holds bounding_box_train, query and bounding_box_test.
        evaluate_on: ``"test"``: the official query and gallery. ``"val"``, to choose settings by:
            the last sixth of the training identities, which are then not trained on. Their first
            image in each camera is a query, all others are the gallery.

    Returns:
        Samples sorted by file name. The gallery holds identity 0, distractors, and -1, junk,
        which the protocol leaves out; training has neither.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: a folder without images of Market-1501, or too few identities to hold out.
    """
    if evaluate_on not in ("test", "val"):
        raise ValueError(f"{NAME}: evaluate_on must be 'test' or 'val', got {evaluate_on!r}")
    root = Path(root)
    _check_folders(root)
    views = read_views(root)
    train = [s for s in _samples(root, TRAIN, views) if s.identity > 0]
    if not train:
        raise ValueError(f"{NAME}: {root / TRAIN} must hold images of identities, got none")
    if evaluate_on == "val":
        return Dataset(NAME, *_held_out(train))
    query, gallery = _samples(root, QUERY, views), _samples(root, GALLERY, views)
    return Dataset(NAME, train, query, gallery)


def _held_out(train: list[Sample]) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """What is left to train on, and query and gallery of the others."""
    identities = sorted({s.identity for s in train})
    if len(identities) < 2 * _VALIDATED:
        raise ValueError(
            f"{NAME}: evaluate_on='val' must have {2 * _VALIDATED} training identities or more, "
            f"got {len(identities)}"
        )
    held_out = set(identities[-(len(identities) // _VALIDATED) :])
    query: list[Sample] = []
    gallery: list[Sample] = []
    seen = set()
    for sample in train:
        if sample.identity in held_out:
            key = sample.identity, sample.camera
            (gallery if key in seen else query).append(sample)
            seen.add(key)
    return [s for s in train if s.identity not in held_out], query, gallery


def _check_folders(root: Path) -> None:
    if not root.is_dir():
        raise FileNotFoundError(
            f"{NAME}: root must be the folder of the dataset, got {root}, which is not a folder"
        )
    if missing := [name for name in FOLDERS if not (root / name).is_dir()]:
        raise FileNotFoundError(
            f"{NAME}: root must hold the folders {', '.join(FOLDERS)}, got {root} without "
            f"{', '.join(missing)}; give the folder in which the archive was unpacked"
        )


def _samples(root: Path, folder: str, views: dict[str, int]) -> list[Sample]:
    samples = list(_parsed(root / folder, views))
    if not samples:
        raise ValueError(
            f"{NAME}: {root / folder} must hold images named like 0002_c1s1_000451_03.jpg, got "
            "none; unpack the archive again"
        )
    return samples


def _parsed(folder: Path, views: dict[str, int]) -> Iterable[Sample]:
    """The images of a folder; other files, such as Thumbs.db, are no images."""
    for name in sorted(os.listdir(folder)):
        if match := _IMAGE_NAME.fullmatch(name):
            identity, camera = map(int, match.groups())
            yield Sample(folder / name, identity, camera, views.get(f"{folder.name}/{name}"))
