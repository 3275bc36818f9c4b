"""LLCM: nine cameras in low light, visible and near infrared.

    ROOT/idx/train_{vis,nir}.txt    lines "path identity", path below ROOT, with _c<camera>_ in it
    ROOT/idx/test_id.txt            one line, identities separated by commas
    ROOT/test_{vis,nir}/cam<camera>/<identity, 4 digits>/<image>.jpg

Source: Zhang and Wang, CVPR 2023, and the files that their released code reads.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from reid_ext.data.readers.expected import Count, Expected
from reid_ext.data.readers.hold_out import check_evaluated, hold_out_by_modality
from reid_ext.data.readers.tree import check_folders, image_names, read_list
from reid_ext.data.sample import INFRARED, VISIBLE, Dataset, Sample

NAME = "llcm"
CAMERAS = tuple(range(1, 10))
TEST_COUNTS_ANEW = True
KINDS = {VISIBLE: "vis", INFRARED: "nir"}
_CAMERA = re.compile(r"_c(\d+)_")


def read(root: str | Path, evaluate_on: str = "test") -> Dataset:
    """Read the file lists of LLCM.

    Args:
        root: The folder that holds idx, test_vis and test_nir.
        evaluate_on: ``"test"``: the test identities. ``"val"``: the last sixth of the training
            identities, which are then not trained on.

    Returns:
        As queries all infrared, as gallery all visible images; for the other direction exchange
        the two. Protocol ``"llcm"`` draws the gallery of each trial from them. Test samples are
        sorted by identity, camera and file name.

    Raises:
        FileNotFoundError: a folder or a list is missing.
        ValueError: a line that cannot be read, or no images of the test identities.
    """
    check_evaluated(NAME, evaluate_on)
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
    """16,946 visible and 13,975 infrared images to train on."""
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
        raise ValueError(
            f"{NAME}: images of {path} must be named like 0001_c01_s185535_f7010_nir.jpg, the "
            f"camera from 1 to 9, got {image}; restore the list of the dataset"
        )
    return int(match[1])


def _test_identities(path: Path) -> list[int]:
    if not path.is_file():
        raise FileNotFoundError(f"{NAME}: {path.parent} must hold {path.name}, got none")
    words = path.read_text(encoding="utf-8-sig", errors="replace").replace(",", " ").split()
    odd = [word for word in words if not (word.isascii() and word.isdigit())]
    if odd or not words:
        got = repr(odd[0]) if odd else "an empty file"
        raise ValueError(f"{NAME}: {path} must have identities separated by commas, got {got}")
    return sorted({int(word) for word in words})


def _test(root: Path, modality: int, identities: Sequence[int]) -> list[Sample]:
    """The images of the test identities in one modality; not every camera saw each of them."""
    place = root / f"test_{KINDS[modality]}"
    samples = []
    for identity in identities:
        for camera in CAMERAS:
            folder = place / f"cam{camera}" / f"{identity:04d}"
            names = image_names(folder) if folder.is_dir() else []
            samples += [Sample(folder / n, identity, camera, modality=modality) for n in names]
    if not samples:
        raise ValueError(
            f"{NAME}: {place} must have images of the {len(identities)} identities of test_id.txt, "
            "got none; unpack the archive again"
        )
    return samples
