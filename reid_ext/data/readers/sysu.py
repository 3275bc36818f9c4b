"""SYSU-MM01: visible cameras 1, 2, 4, 5 and infrared cameras 3, 6.

    ROOT/cam1 .. cam6/<identity, 4 digits>/<image, 4 digits>.jpg
    ROOT/exp/{train,val,test}_id.txt     one line, identities separated by commas; or .mat
    ROOT/exp/rand_perm_cam.mat           the gallery images of the ten official trials; optional
    ROOT/views.json                      only in a synthetic dataset: path below ROOT -> view

Source: Wu et al., ICCV 2017, and the files of the authors' evaluation code.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reid_ext._runtime.arguments import ArgumentError, choice
from reid_ext._runtime.matlab import read_mat
from reid_ext.data.readers.expected import Count, Expected
from reid_ext.data.readers.hold_out import EVALUATED
from reid_ext.data.readers.tree import check_folders, read_numbers, short, some
from reid_ext.data.sample import INFRARED, VISIBLE, Dataset, Sample
from reid_ext.data.view_names import read_views

NAME = "sysu-mm01"
VISIBLE_CAMERAS = (1, 2, 4, 5)
INFRARED_CAMERAS = (3, 6)
CAMERAS = tuple(range(1, 7))
SPLITS = ("train", "val", "test")
OTHER_SPLITS = ({"train_on": "trainval"},)
SPARE = ((re.compile(r"cam[1-6]/\d{4}/\d{4}\.jpg$", re.IGNORECASE), "identities in no list"),)
_IMAGE_NAME = re.compile(r"\d{4}\.jpg", re.IGNORECASE)


def read(root: str | Path, evaluate_on: str = "test", train_on: str = "train") -> Dataset:
    """Read the file lists of SYSU-MM01.

    Args:
        root: Folder that contains cam1 .. cam6 and exp.
        evaluate_on: Identities of query and gallery: ``"test"`` or ``"val"``. Default: ``"test"``.
        train_on: ``"train"`` (296 identities) or ``"trainval"`` (395). Default: ``"train"``.

    Returns:
        All images of the training identities. Of the evaluated identities, all infrared images are
        queries and all visible images are in the gallery. Each trial of the protocol selects its
        gallery images by ``image_numbers``. Samples are sorted by camera, identity and file name.

    Raises:
        FileNotFoundError: A folder or a file of identities is missing.
        ArgumentError: An identity is in two splits, a folder has no images, or a training identity
            has images of one modality only.
    """
    choice(NAME, "evaluate_on", evaluate_on, EVALUATED)
    choice(NAME, "train_on", train_on, ("train", "trainval"))
    if train_on == "trainval" and evaluate_on == "val":
        advice = "val identities are trained on with 'trainval'"
        requirement = "be 'test' when train_on is 'trainval'"
        raise ArgumentError(NAME, "evaluate_on", requirement, "'val'", advice)
    root = Path(root)
    check_folders(NAME, root, ("exp", *(f"cam{camera}" for camera in CAMERAS)))
    identities = read_identities(root)
    chosen = identities["train"] + (identities["val"] if train_on == "trainval" else [])
    train = _samples(root, VISIBLE_CAMERAS + INFRARED_CAMERAS, chosen)
    _check_modalities(train, chosen)
    evaluated = identities[evaluate_on]
    query = _samples(root, INFRARED_CAMERAS, evaluated)
    gallery = _samples(root, VISIBLE_CAMERAS, evaluated)
    for role, samples, kind in (("query", query, "infrared"), ("gallery", gallery, "visible")):
        if not samples:
            requirement = f"have {kind} images of the {len(evaluated)} {evaluate_on} identities"
            advice = f"check {root}/exp/{evaluate_on}_id and the camera folders"
            raise ArgumentError(NAME, role, requirement, "no images", advice)
    return Dataset(NAME, train, query, gallery)


def expected(train_on: str = "train") -> Expected:
    """Published counts; 20,284 visible and 9,929 infrared, with val 22,258 and 11,909."""
    train = Count(296, 30_213) if train_on == "train" else Count(395, 34_167)
    return Expected(train, Count(96, 3_803), Count(None, 6_775))


def read_identities(root: str | Path) -> dict[str, list[int]]:
    """Return the sorted identities of "train", "val" and "test", which must be disjoint."""
    exp = Path(root) / "exp"
    identities = {split: _read_split(exp, split) for split in SPLITS}
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        shared = sorted(set(identities[first]) & set(identities[second]))
        if shared:
            got = f"{_some(shared)} in both {first} and {second} of {exp}"
            advice = "restore the files of the dataset"
            raise ArgumentError(NAME, "each identity", "be in one split only", got, advice)
    return identities


def image_numbers(samples: Sequence[Sample]) -> list[int]:
    """Return the 1-based position of each image among the sorted images of its folder.

    ``load_permutations`` uses the same numbers. ``samples`` must contain all images of each
    (camera, identity) pair, as query and gallery of ``read`` do, in any order.
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
    """Read the official selection of gallery images, exp/rand_perm_cam.mat.

    Returns:
        For each (camera, identity) pair, an int64 array of shape (trials, n) of image numbers in
        1..n; trial t with s shots uses ``[t, :s]``. None if the dataset has no such file.

    Raises:
        ArgumentError: The file is not a .mat file (version 5), or has unexpected content.
        ImportError: scipy is not installed.
    """
    path = Path(root) / "exp" / "rand_perm_cam.mat"
    if not path.is_file():
        return None
    cameras = _read_variable(path)
    if cameras.dtype != object or len(cameras) != 6:
        got = f"{len(cameras)} values of type {cameras.dtype}"
        requirement = "hold 6 cells, one per camera"
        raise ArgumentError(NAME, str(path), requirement, got, "restore the original file")
    permutations = {}
    for camera, identities in enumerate(cameras, start=1):
        for identity, cell in enumerate(np.ravel(identities), start=1):
            trials = np.atleast_2d(np.asarray(cell))
            if trials.size:
                permutations[camera, identity] = _as_permutations(trials, path, camera, identity)
    return permutations


def check_lists(root: Path) -> list[str]:
    """Problems of the official selection of gallery images."""
    permutations = load_permutations(root) or {}
    wrong = []
    for (camera, identity), trials in permutations.items():
        folder = root / f"cam{camera}" / f"{identity:04d}"
        there = len(_image_names(folder))
        if camera in VISIBLE_CAMERAS and there != trials.shape[1]:
            wrong.append(f"{folder} must have {trials.shape[1]} images, got {there}")
    if not wrong:
        return []
    return [
        f"{NAME}: exp/rand_perm_cam.mat and the folders differ: {some(wrong)}; restore the missing "
        "images"
    ]


def _as_permutations(trials: np.ndarray, path: Path, camera: int, identity: int) -> np.ndarray:
    """A cell of shape (trials, n) as int64; each row must be a permutation of 1..n."""
    numbers = np.arange(1, trials.shape[1] + 1)
    numeric = trials.ndim == 2 and trials.dtype.kind in "iuf"
    if not numeric or not (np.sort(trials, axis=1) == numbers).all():
        rows = f"each row of {path}, camera {camera}, identity {identity}"
        requirement = f"be a permutation of 1..{trials.shape[1]}"
        row = short(trials.ravel().tolist())
        raise ArgumentError(NAME, rows, requirement, row, "restore the original file")
    return trials.astype(np.int64)


def _read_split(exp: Path, split: str) -> list[int]:
    text, mat = exp / f"{split}_id.txt", exp / f"{split}_id.mat"
    if text.is_file():
        return read_numbers(NAME, text)
    if not mat.is_file():
        raise FileNotFoundError(
            f"{NAME}: exp must hold {text.name} or {mat.name}, got neither in {exp}; copy the exp "
            "folder of the dataset again"
        )
    values = _read_variable(mat).tolist()
    if odd := [value for value in values if not _is_whole(value)]:
        requirement, got = "hold identities, i.e. integers >= 0", str(odd[0])[:80]
        raise ArgumentError(NAME, str(mat), requirement, got, "restore the original file")
    return sorted({int(value) for value in values})


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | float) and value >= 0 and value % 1 == 0


def _read_variable(path: Path) -> np.ndarray:
    """The values of a .mat file that has a single variable."""
    content = read_mat(NAME, path)
    if len(content) != 1:
        got, advice = f"{len(content)} ({some(content)})", "restore the original file"
        raise ArgumentError(NAME, str(path), "hold one variable", got, advice)
    return np.ravel(next(iter(content.values())))


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
    """The sorted image names of a folder; empty if the camera never saw the identity."""
    try:
        names = sorted(name for name in os.listdir(folder) if _IMAGE_NAME.fullmatch(name))
    except FileNotFoundError:
        return []
    if not names:
        requirement = "hold images named 0001.jpg, 0002.jpg and so on"
        advice = "copy them again, or delete the folder if this camera never saw the identity"
        raise ArgumentError(NAME, str(folder), requirement, "no such image", advice)
    return names


def _check_modalities(samples: Iterable[Sample], identities: Iterable[int]) -> None:
    """Raise ArgumentError unless every training identity has images of both modalities."""
    if not identities:
        requirement, advice = "have at least one identity", "restore exp/train_id.txt or .mat"
        raise ArgumentError(NAME, "train", requirement, "an empty list", advice)
    seen = {(sample.identity, sample.modality) for sample in samples}
    for modality, kind in ((VISIBLE, "visible"), (INFRARED, "infrared")):
        without = sorted(i for i in identities if (i, modality) not in seen)
        if without:
            cameras = VISIBLE_CAMERAS if modality == VISIBLE else INFRARED_CAMERAS
            got = f"no images of {_some(without)} in cameras {', '.join(map(str, cameras))}"
            advice = "copy their folders, or remove them from the training list in exp"
            requirement = f"have {kind} images"
            raise ArgumentError(NAME, "every training identity", requirement, got, advice)


def _some(identities: list[int]) -> str:
    """The first identities of a list, in words."""
    return f"{'identity' if len(identities) == 1 else 'identities'} {some(identities, 10)}"
