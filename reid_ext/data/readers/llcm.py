"""LLCM: nine cameras in low light, visible and near infrared.

    ROOT/idx/train_{vis,nir}.txt    lines "path identity", path below ROOT, with _c<camera>_ in it
    ROOT/idx/test_id.txt            one line, identities separated by commas
    ROOT/test_{vis,nir}/cam<camera>/<identity, 4 digits>/<image>.jpg

Source: Zhang and Wang, CVPR 2023, and the files that their released code reads.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from reid_ext._runtime.arguments import ArgumentError, choice
from reid_ext.data.readers.expected import Count, Expected
from reid_ext.data.readers.hold_out import EVALUATED, hold_out_by_modality
from reid_ext.data.readers.tree import check_folders, image_names, read_list, read_numbers, short
from reid_ext.data.sample import INFRARED, VISIBLE, Dataset, Sample

NAME = "llcm"
CAMERAS = tuple(range(1, 10))
TEST_COUNTS_ANEW = True
SPARE = ((re.compile(r"(test_)?(vis|nir)/"), "identities in no list"),)
KINDS = {VISIBLE: "vis", INFRARED: "nir"}
_CAMERA = re.compile(r"_c(\d+)_")


def read(root: str | Path, evaluate_on: str = "test") -> Dataset:
    """Read the file lists of LLCM.

    Args:
        root: Folder that contains idx, test_vis and test_nir.
        evaluate_on: If ``"test"``, evaluate on the test identities. If ``"val"``, hold out the last
            sixth of the training identities for validation. Default: ``"test"``.

    Returns:
        All infrared images as queries and all visible images as gallery; exchange the two for the
        other direction. Protocol ``"llcm"`` draws the gallery of each trial from them. Test samples
        are sorted by identity, camera and file name.

    Raises:
        FileNotFoundError: A folder or a list is missing.
        ArgumentError: A line of a list is invalid, the test identities have no images, or there are
            fewer than 12 identities to hold out from.
    """
    choice(NAME, "evaluate_on", evaluate_on, EVALUATED)
    root = Path(root)
    check_folders(NAME, root, ("idx", "test_vis", "test_nir"))
    train = [sample for modality in KINDS for sample in _train(root, modality)]
    if evaluate_on == "val":
        held_out = hold_out_by_modality(NAME, train)
        return held_out._replace(query=held_out.gallery, gallery=held_out.query)
    identities = _test_identities(root / "idx" / "test_id.txt")
    gallery, query = (_test(root, modality, identities) for modality in KINDS)
    return Dataset(NAME, train, query, gallery)


def expected() -> Expected:
    """Published counts; 16,946 visible and 13,975 infrared training images."""
    return Expected(Count(713, 30_921), Count(351, 7_166), Count(351, 8_680))


def _train(root: Path, modality: int) -> list[Sample]:
    path = root / "idx" / f"train_{KINDS[modality]}.txt"
    return [
        Sample(root / image, identity, _camera(image, path), modality=modality)
        for image, identity in read_list(NAME, path)
    ]


def _camera(image: str, path: Path) -> int:
    match = _CAMERA.search(image)
    if not match or int(match[1]) not in CAMERAS:
        requirement = "be named like 0001_c01_s185535_f7010_nir.jpg, with a camera from 1 to 9"
        advice = "restore the list of the dataset"
        raise ArgumentError(NAME, f"images of {path}", requirement, short(image), advice)
    return int(match[1])


def _test_identities(path: Path) -> list[int]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{NAME}: {path.parent} must hold {path.name}, got a folder without it; copy the idx "
            "folder of the dataset again"
        )
    identities = read_numbers(NAME, path)
    if not identities:
        requirement = "hold identities separated by commas"
        raise ArgumentError(NAME, str(path), requirement, "an empty file", "copy the file again")
    return identities


def _test(root: Path, modality: int, identities: Sequence[int]) -> list[Sample]:
    """The images of the test identities in one modality; cameras without images are skipped."""
    place = root / f"test_{KINDS[modality]}"
    samples = []
    for identity in identities:
        for camera in CAMERAS:
            folder = place / f"cam{camera}" / f"{identity:04d}"
            names = image_names(folder) if folder.is_dir() else []
            samples += [Sample(folder / n, identity, camera, modality=modality) for n in names]
    if not samples:
        requirement = f"hold images of the {len(identities)} identities of test_id.txt"
        raise ArgumentError(NAME, str(place), requirement, "no images", "unpack the archive again")
    return samples
