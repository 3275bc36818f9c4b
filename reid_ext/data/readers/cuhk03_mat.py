"""CUHK03-NP out of the MATLAB files in which it is published, once and for all.

    SOURCE/cuhk-03.mat  or  SOURCE/cuhk03_release/cuhk-03.mat       all images, version 7.3 (HDF5)
    SOURCE/cuhk03_new_protocol_config_{detected,labeled}.mat        who is trained on and who is not

become the folders that ``cuhk03`` reads. An image of pair p and view v (1 or 2) is one of camera
2 (p - 1) + v, and is called after its label, camera and number.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from reid_ext._runtime import unfinished
from reid_ext._runtime.arguments import ArgumentError, choice
from reid_ext._runtime.progress import Progress
from reid_ext.data.readers.cuhk03 import BOXES, IMAGES_MAT, NAME, find_images, folders
from reid_ext.data.readers.tree import read_mat

CONFIG = "cuhk03_new_protocol_config_{}.mat"
SPLITS = ("train_idx", "query_idx", "gallery_idx")  # the order of cuhk03.folders
_LISTED = re.compile(r"([1-5])_(\d{3})_([12])_(\d{2})\.png")  # pair, person, view, image


class _Image(NamedTuple):
    """One image to write: where it is among the cells, counted from 1, and what it becomes."""

    pair: int
    person: int
    number: int
    path: str


def convert(source: str | Path, out: str | Path, boxes: str = "both") -> Path:
    """Write the images of CUHK03-NP as folders of PNG files, without loss.

    Args:
        source: The folder with cuhk-03.mat, or with cuhk03_release, and the new protocol's files.
        out: Folder to make. It appears whole or not at all.
        boxes: ``"detected"``, ``"labeled"`` or ``"both"``.

    Returns:
        ``out``, for ``data.load("cuhk03-np", out)``.

    Raises:
        FileNotFoundError: a file is missing.
        ImportError: h5py or scipy is.
        ValueError: ``out`` is there already, or a file holds something else than it should.

    Source:
        Li et al., CVPR 2014, for the images; Zhong et al., CVPR 2017, for the protocol.
    """
    choice(NAME, "boxes", boxes, (*BOXES, "both"))
    source, out = Path(source), Path(out)
    _check_absent(out)
    images = find_images(source)
    if images is None:
        raise FileNotFoundError(
            f"{NAME}: source must hold {IMAGES_MAT}, itself or in cuhk03_release, got {source}"
        )
    kinds = BOXES if boxes == "both" else (boxes,)
    plans = {kind: _plan(_config(source, kind), kind) for kind in kinds}
    number = sum(map(len, plans.values()))
    with _opened(images) as file, unfinished.work_folder(out, NAME, "out") as work:
        _check_absent(out)  # another process may have been faster
        with Progress(number, "writing") as bar:
            for kind, plan in plans.items():
                for path, content in _contents(file, images, kind, plan):
                    (work / path).parent.mkdir(parents=True, exist_ok=True)
                    (work / path).write_bytes(content)
                    bar.update(1)
        unfinished.publish(work, out)
    return out


def _check_absent(out: Path) -> None:
    if out.exists():
        raise ArgumentError(NAME, "out", "not exist yet", str(out), "name another folder")


def _config(source: Path, kind: str) -> Path:
    path = source / CONFIG.format(kind)
    if not path.is_file():
        raise FileNotFoundError(
            f"{NAME}: source must hold {path.name}, the new protocol of Zhong et al., got {source} "
            "without; copy it there"
        )
    return path


def _plan(path: Path, kind: str) -> list[_Image]:
    """The images that a protocol file names, in its order, train before query before gallery."""
    fields = _read_config(path)
    labels, names = fields["labels"], fields["filelist"]
    if len(labels) != len(names):
        got = f"{len(labels)} labels of {len(names)} files"
        raise ArgumentError(NAME, str(path), "have a label for each file", got, "copy it again")
    images = []
    for split, folder in zip(SPLITS, folders(kind), strict=True):
        for row in fields[split].astype(np.int64) - 1:
            name = str(np.ravel(names[row])[0]) if 0 <= row < len(names) else ""
            match = _LISTED.fullmatch(name)
            if not match:
                requirement = "count files named like 1_001_1_01.png"
                got, column = f"{name!r} as number {row + 1}", f"{split} of {path}"
                raise ArgumentError(NAME, column, requirement, got, "copy it again")
            pair, person, view, number = map(int, match.groups())
            camera = 2 * (pair - 1) + view
            file = f"{int(labels[row]):04d}_c{camera}_{number:02d}.png"
            images.append(_Image(pair, person, number, f"{folder}/{file}"))
    return images


def _read_config(path: Path) -> dict[str, np.ndarray]:
    wanted = ("labels", "filelist", *SPLITS)
    content = read_mat(NAME, path)
    if missing := [name for name in wanted if name not in content]:
        got, requirement = f"a file without {', '.join(missing)}", f"have {', '.join(wanted)}"
        advice = "take the file of the new protocol"
        raise ArgumentError(NAME, str(path), requirement, got, advice)
    return {name: np.ravel(content[name]) for name in wanted}


def _opened(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            f"{NAME}: reading {path} needs h5py, which is not installed; "
            "pip install 'reid_ext[mat]'"
        ) from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        got, requirement = f"one that does not open ({error})", "be a .mat file of version 7.3"
        raise ArgumentError(NAME, str(path), requirement, got, "unpack it again") from error


def _contents(file: Any, path: Path, kind: str, plan: list[_Image]) -> Iterator[tuple[str, bytes]]:
    """Path and PNG bytes of each image."""
    try:
        pairs = [file[cell][()] for cell in np.ravel(file[kind][()])]  # (10, persons) references
    except (KeyError, ValueError, TypeError) as error:
        requirement = f"hold the cells of 5 camera pairs as {kind!r}"
        raise ArgumentError(NAME, str(path), requirement, str(error)) from error
    for image in plan:
        try:
            pixels = file[pairs[image.pair - 1][image.number - 1, image.person - 1]][()]
        except (IndexError, KeyError, ValueError, TypeError) as error:
            raise _no_image(path, kind, image, f"none ({error})") from error
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or len(pixels) != 3:
            raise _no_image(path, kind, image, f"{pixels.dtype} of shape {pixels.shape}")
        # MATLAB counts columns first: (3, width, height) becomes (height, width, 3).
        bgr = np.ascontiguousarray(pixels.T[..., ::-1])
        yield image.path, cv2.imencode(".png", bgr)[1].tobytes()


def _no_image(path: Path, kind: str, image: _Image, got: str) -> ArgumentError:
    number = f"pair {image.pair}, person {image.person}, number {image.number} of {kind!r}"
    requirement = f"have an image of 3 colours, uint8, for {image.path} ({number})"
    advice = "unpack it again, and take the protocol file of the same boxes"
    return ArgumentError(NAME, str(path), requirement, got, advice)
