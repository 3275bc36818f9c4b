"""SYSU-MM01: visible cameras 1, 2, 4, 5 and infrared cameras 3, 6.

    ROOT/cam1 .. cam6/<identity, 4 digits>/<image, 4 digits>.jpg
    ROOT/exp/{train,val,test}_id.txt     one line, identities separated by commas; or .mat
    ROOT/exp/rand_perm_cam.mat           the gallery images of the ten official trials; optional
    ROOT/views.json                      only the embedded dataset: path below ROOT -> view

Source: Wu et al., ICCV 2017, and the files of the authors' evaluation code.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reid_ext.data.readers.expected import Count, Expected
from reid_ext.data.readers.tree import check_choice, is_image, is_whole_number, short, some
from reid_ext.data.sample import INFRARED, VISIBLE, Dataset, Sample
from reid_ext.data.view_names import read_views

VISIBLE_CAMERAS = (1, 2, 4, 5)
INFRARED_CAMERAS = (3, 6)
CAMERAS = tuple(range(1, 7))
SPLITS = ("train", "val", "test")
_IMAGE_NAME = re.compile(r"\d{4}\.jpg", re.IGNORECASE)


def read(root: str | Path, evaluate_on: str = "test", train_on: str = "train") -> Dataset:
    """Read the file lists of SYSU-MM01.

    Args:
        root: The folder that holds cam1 .. cam6 and exp.
        evaluate_on: ``"test"`` or ``"val"``, whose identities make query and gallery.
        train_on: ``"train"`` (296 identities) or ``"trainval"`` (395).

    Returns:
        All images of the training identities; as queries all infrared images, as gallery all
        visible images of the evaluated identities. A trial picks its gallery images later, by
        ``image_numbers``. Samples are sorted by camera, identity and file name.

    Raises:
        FileNotFoundError: a folder or a file of identities is missing.
        ValueError: an identity in two splits, a folder without images, a training identity
            without visible or without infrared images.
    """
    check_choice("sysu-mm01", "evaluate_on", evaluate_on, ("test", "val"))
    check_choice("sysu-mm01", "train_on", train_on, ("train", "trainval"))
    if train_on == "trainval" and evaluate_on == "val":
        raise ValueError(
            "sysu-mm01: evaluate_on must be 'test' when train_on is 'trainval', got 'val'; "
            "an identity that was trained on measures nothing"
        )
    root = Path(root)
    _check_folders(root)
    identities = read_identities(root)
    chosen = identities["train"] + (identities["val"] if train_on == "trainval" else [])
    train = _samples(root, VISIBLE_CAMERAS + INFRARED_CAMERAS, chosen)
    _check_modalities(train, chosen)
    evaluated = identities[evaluate_on]
    query = _samples(root, INFRARED_CAMERAS, evaluated)
    gallery = _samples(root, VISIBLE_CAMERAS, evaluated)
    for role, samples, kind in (("query", query, "infrared"), ("gallery", gallery, "visible")):
        if not samples:
            raise ValueError(
                f"sysu-mm01: {role} must have {kind} images of the {len(evaluated)} {evaluate_on} "
                f"identities, got none; check {root}/exp/{evaluate_on}_id and the camera folders"
            )
    return Dataset("sysu-mm01", train, query, gallery)


def expected(train_on: str = "train") -> Expected:
    """20,284 visible and 9,929 infrared images to train on; with val 22,258 and 11,909."""
    train = Count(296, 30_213) if train_on == "train" else Count(395, 34_167)
    return Expected(train, Count(96, 3_803), Count(None, 6_775))


def read_identities(root: str | Path) -> dict[str, list[int]]:
    """Return the identities of "train", "val" and "test", ascending; no identity is in two."""
    exp = Path(root) / "exp"
    identities = {split: _read_split(exp, split) for split in SPLITS}
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        shared = sorted(set(identities[first]) & set(identities[second]))
        if shared:
            raise ValueError(
                f"sysu-mm01: an identity must be in one split only, got {_some(shared)} in both "
                f"{first} and {second} of {exp}; restore the files of the dataset"
            )
    return identities


def image_numbers(samples: Sequence[Sample]) -> list[int]:
    """Return the 1-based position of each image among the sorted images of its folder.

    These are the numbers that ``load_permutations`` holds. ``samples`` must hold all images of
    each (camera, identity) in it, as query and gallery of ``read`` do, in any order.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for index, sample in enumerate(samples):
        groups.setdefault((sample.camera, sample.identity), []).append(index)
    numbers = [0] * len(samples)
    for group in groups.values():
        group.sort(key=lambda index: samples[index].path.name)
        for number, index in enumerate(group, start=1):
            numbers[index] = number
    return numbers


def load_permutations(root: str | Path) -> dict[tuple[int, int], np.ndarray] | None:
    """Read the official choice of gallery images, exp/rand_perm_cam.mat.

    Returns:
        For each (camera, identity) an int64 array (trials, n) of image numbers in 1..n; trial t
        with s shots takes ``[t, :s]``. None when the dataset has no such file.

    Raises:
        ValueError: the file is not a .mat file (version 5), or its content has another form.
        ImportError: scipy is not installed.
    """
    path = Path(root) / "exp" / "rand_perm_cam.mat"
    if not path.is_file():
        return None
    cameras = _read_mat(path).ravel()
    if cameras.dtype != object or len(cameras) != 6:
        raise ValueError(
            f"sysu-mm01: {path} must hold 6 cells, one per camera, got {len(cameras)} values of "
            f"type {cameras.dtype}; restore the file of the dataset"
        )
    permutations = {}
    for camera, identities in enumerate(cameras, start=1):
        for identity, cell in enumerate(np.ravel(identities), start=1):
            trials = np.atleast_2d(np.asarray(cell))
            if trials.size:
                permutations[camera, identity] = _as_permutations(trials, path, camera, identity)
    return permutations


def check_lists(root: Path) -> list[str]:
    """Images that are not read, and what is wrong with the official choice of gallery images."""
    return [*_odd_names(root), *_differences(root)]


def _odd_names(root: Path) -> list[str]:
    """Images whose names are no numbers would silently be missing."""
    found = (path.relative_to(root) for path in root.glob("cam[1-6]/*/*") if is_image(path.name))
    odd = sorted(str(path) for path in found if not _IMAGE_NAME.fullmatch(path.name))
    if not odd:
        return []
    return [
        f"sysu-mm01: the folders of {root} must hold images named like 0001.jpg, got {some(odd)}; "
        "rename or remove what is no such"
    ]


def _differences(root: Path) -> list[str]:
    permutations = load_permutations(root) or {}
    wrong = []
    for (camera, identity), trials in permutations.items():
        folder = root / f"cam{camera}" / f"{identity:04d}"
        there = len(_image_names(folder))
        if camera in VISIBLE_CAMERAS and there != trials.shape[1]:
            wrong.append(f"{folder} must have {trials.shape[1]} images, got {there}")
    if not wrong:
        return []
    return [f"sysu-mm01: exp/rand_perm_cam.mat and the folders differ: {some(wrong)}"]


def _as_permutations(trials: np.ndarray, path: Path, camera: int, identity: int) -> np.ndarray:
    """The (trials, n) cell as int64, each row a permutation of 1..n."""
    numbers = np.arange(1, trials.shape[1] + 1)
    numeric = trials.ndim == 2 and trials.dtype.kind in "iuf"
    if not numeric or not (np.sort(trials, axis=1) == numbers).all():
        raise ValueError(
            f"sysu-mm01: each row of {path}, camera {camera}, identity {identity} must be a "
            f"permutation of 1..{trials.shape[1]}, got other values; restore the file"
        )
    return trials.astype(np.int64)


def _check_folders(root: Path) -> None:
    if not root.is_dir():
        raise FileNotFoundError(
            f"sysu-mm01: root must be the folder of the dataset, got {root}, which is not a folder"
        )
    names = ["exp"] + [f"cam{camera}" for camera in range(1, 7)]
    missing = [name for name in names if not (root / name).is_dir()]
    if missing:
        raise FileNotFoundError(
            f"sysu-mm01: root must hold the folders cam1 .. cam6 and exp, got {root} without "
            f"{', '.join(missing)}; give the folder in which the archive of SYSU-MM01 was unpacked"
        )


def _read_split(exp: Path, split: str) -> list[int]:
    text, mat = exp / f"{split}_id.txt", exp / f"{split}_id.mat"
    if text.is_file():
        words = text.read_text(encoding="utf-8-sig", errors="replace").replace(",", " ").split()
        odd = [word for word in words if not is_whole_number(word)]
        path, numbers = text, [] if odd else [int(word) for word in words]
    elif mat.is_file():
        values = np.ravel(_read_mat(mat)).tolist()
        odd = [str(value) for value in values if not _is_whole(value)]
        path, numbers = mat, [] if odd else [int(value) for value in values]
    else:
        raise FileNotFoundError(
            f"sysu-mm01: exp must hold {text.name} or {mat.name}, got neither in {exp}; copy the "
            "exp folder of the dataset"
        )
    if odd:
        raise ValueError(
            f"sysu-mm01: {path} must hold identities separated by commas, got {short(odd[0])}; "
            "restore the file of the dataset"
        )
    return sorted(set(numbers))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | float) and value >= 0 and value % 1 == 0


def _read_mat(path: Path) -> np.ndarray:
    """The only variable of a version 5 .mat file."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(
            f"sysu-mm01: reading {path} needs scipy, which is not installed; pip install scipy"
        ) from error
    try:
        content = loadmat(path)
    except Exception as error:  # scipy has no common error for content it cannot read
        raise ValueError(
            f"sysu-mm01: {path} must be a .mat file of version 5, got one that does not read "
            f"({error}); restore the file of the dataset"
        ) from error
    names = [name for name in content if not name.startswith("__")]
    if len(names) != 1:
        raise ValueError(
            f"sysu-mm01: {path} must hold one variable, got {len(names)} ({some(names)}); restore "
            "the file of the dataset"
        )
    return content[names[0]]


def _samples(root: Path, cameras: Iterable[int], identities: Iterable[int]) -> list[Sample]:
    """All images of the identities, sorted by camera, identity and file name."""
    views = read_views(root)
    found = []
    for camera in sorted(cameras):
        modality = INFRARED if camera in INFRARED_CAMERAS else VISIBLE
        for identity in sorted(identities):
            folder = f"cam{camera}/{identity:04d}"
            for name in _image_names(root / folder):
                view = views.get(f"{folder}/{name}")
                found.append(Sample(root / folder / name, identity, camera, view, modality))
    return found


def _image_names(folder: Path) -> list[str]:
    """The sorted image names of one folder; none where the camera never saw the identity."""
    try:
        names = sorted(name for name in os.listdir(folder) if _IMAGE_NAME.fullmatch(name))
    except FileNotFoundError:
        return []
    if not names:
        raise ValueError(
            f"sysu-mm01: {folder} must hold images named 0001.jpg, 0002.jpg and so on, got none; "
            "copy its images again, or delete the folder if this camera never saw the identity"
        )
    return names


def _check_modalities(samples: Iterable[Sample], identities: Iterable[int]) -> None:
    """Training draws every identity in both modalities, so each must have both."""
    if not identities:
        raise ValueError("sysu-mm01: train must name at least one identity, got an empty list")
    seen = {(sample.identity, sample.modality) for sample in samples}
    for modality, kind in ((VISIBLE, "visible"), (INFRARED, "infrared")):
        without = sorted(i for i in identities if (i, modality) not in seen)
        if without:
            cameras = VISIBLE_CAMERAS if modality == VISIBLE else INFRARED_CAMERAS
            raise ValueError(
                f"sysu-mm01: every training identity must have {kind} images, got none for "
                f"{_some(without)} in cameras {', '.join(map(str, cameras))}; copy their folders, "
                "or take them out of the training list in exp"
            )


def _some(identities: list[int]) -> str:
    """The first few of a list of identities, in words."""
    return f"{'identity' if len(identities) == 1 else 'identities'} {some(identities, 10)}"
