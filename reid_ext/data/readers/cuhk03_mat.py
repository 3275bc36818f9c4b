"""Converts the published MATLAB files of CUHK03-NP to the folders that ``cuhk03`` reads.

    SOURCE/cuhk-03.mat  or  SOURCE/cuhk03_release/cuhk-03.mat       all images, version 7.3 (HDF5)
    SOURCE/cuhk03_new_protocol_config_{detected,labeled}.mat        train, query and gallery images

An image of camera pair p and view v (1 or 2) belongs to camera 2 (p - 1) + v. Its file name
consists of label, camera and number.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from reid_ext._runtime import unfinished
from reid_ext._runtime.arguments import ArgumentError, choice
from reid_ext._runtime.matlab import read_mat
from reid_ext._runtime.progress import Progress
from reid_ext.data.readers.cuhk03 import BOXES, IMAGES_MAT, NAME, find_images, folders

CONFIG = "cuhk03_new_protocol_config_{}.mat"
SPLITS = ("train_idx", "query_idx", "gallery_idx")  # the order of cuhk03.folders
_LISTED = re.compile(r"([1-5])_(\d{3})_([12])_(\d{2})\.png")  # pair, person, view, image


class _Image(NamedTuple):
    """One image to write: its position in the cells, counted from 1, and its new path."""

    pair: int
    person: int
    number: int
    path: str


def convert(source: str | Path, out: str | Path, boxes: str = "both") -> Path:
    """Convert the MATLAB files of CUHK03-NP to folders of PNG files, without loss.

    Args:
        source: Folder with cuhk-03.mat or cuhk03_release, and with the files of the new protocol.
        out: Folder to create; it must not exist. If the conversion fails, it is not created.
        boxes: ``"detected"``, ``"labeled"`` or ``"both"``. Default: ``"both"``.

    Returns:
        ``out``, for ``data.load("cuhk03-np", out)``.

    Raises:
        FileNotFoundError: A file is missing.
        ImportError: h5py or scipy is not installed.
        ArgumentError: ``out`` exists already, or a file has unexpected content.

    Source:
        Li et al., CVPR 2014, for the images; Zhong et al., CVPR 2017, for the protocol.

    Examples:
        >>> from reid_ext import data
        >>> root = data.convert_cuhk03("/data/cuhk03", "/data/cuhk03-np")  # doctest: +SKIP
        >>> data.convert_cuhk03("missing folder", "out")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        FileNotFoundError: cuhk03-np: source must hold cuhk-03.mat, ...
    """
    choice(NAME, "boxes", boxes, (*BOXES, "both"))
    source, out = Path(source), Path(out)
    _check_absent(out)
    images = find_images(source)
    if images is None:
        raise FileNotFoundError(
            f"{NAME}: source must hold {IMAGES_MAT}, directly or in cuhk03_release, got {source}; "
            "give the folder of the MATLAB files"
        )
    kinds = BOXES if boxes == "both" else (boxes,)
    plans = {kind: _plan(_config(source, kind), kind) for kind in kinds}
    number = sum(map(len, plans.values()))
    with _opened(images) as file, unfinished.work_folder(out, NAME, "out") as work:
        _check_absent(out)  # another process may have created it meanwhile
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
            "without it; copy the file into this folder"
        )
    return path


def _plan(path: Path, kind: str) -> list[_Image]:
    """The images of a protocol file in its order: train, query, gallery."""
    fields = _read_config(path)
    labels, names = fields["labels"], fields["filelist"]
    if len(labels) != len(names):
        got, advice = f"{len(labels)} labels for {len(names)} files", "download the file again"
        raise ArgumentError(NAME, str(path), "have a label for each file", got, advice)
    images = []
    for split, folder in zip(SPLITS, folders(kind), strict=True):
        for row in fields[split].astype(np.int64) - 1:
            name = str(np.ravel(names[row])[0]) if 0 <= row < len(names) else ""
            match = _LISTED.fullmatch(name)
            if not match:
                requirement = "hold row numbers of files named like 1_001_1_01.png"
                got, column = f"{name[:80]!r} in row {row + 1}", f"{split} of {path}"
                raise ArgumentError(NAME, column, requirement, got, "download the file again")
            pair, person, view, number = map(int, match.groups())
            camera = 2 * (pair - 1) + view
            file = f"{int(labels[row]):04d}_c{camera}_{number:02d}.png"
            images.append(_Image(pair, person, number, f"{folder}/{file}"))
    return images


def _read_config(path: Path) -> dict[str, np.ndarray]:
    wanted = ("labels", "filelist", *SPLITS)
    content = read_mat(NAME, path)
    if missing := [name for name in wanted if name not in content]:
        got = f"a file without {', '.join(missing)}"
        requirement = f"have the variables {', '.join(wanted)}"
        advice = "use the file of the new protocol"
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
        got, requirement = f"a file that does not open ({error})", "be a .mat file of version 7.3"
        raise ArgumentError(NAME, str(path), requirement, got, "unpack it again") from error


def _contents(file: Any, path: Path, kind: str, plan: list[_Image]) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the PNG bytes of each image."""
    try:
        pairs = [file[cell][()] for cell in np.ravel(file[kind][()])]  # (10, persons) references
    except (KeyError, ValueError, TypeError) as error:
        requirement = f"hold a variable {kind!r} with the images of 5 camera pairs"
        got, advice = str(error)[:80], "unpack it again, or choose the other kind of boxes"
        raise ArgumentError(NAME, str(path), requirement, got, advice) from error
    for image in plan:
        try:
            pixels = file[pairs[image.pair - 1][image.number - 1, image.person - 1]][()]
        except (IndexError, KeyError, ValueError, TypeError) as error:
            raise _no_image(path, kind, image, f"no image ({str(error)[:80]})") from error
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or len(pixels) != 3:
            raise _no_image(path, kind, image, f"{pixels.dtype} of shape {pixels.shape}")
        # MATLAB is column-major: (3, width, height) becomes (height, width, 3).
        bgr = np.ascontiguousarray(pixels.T[..., ::-1])
        yield image.path, cv2.imencode(".png", bgr)[1].tobytes()


def _no_image(path: Path, kind: str, image: _Image, got: str) -> ArgumentError:
    number = f"pair {image.pair}, person {image.person}, number {image.number} of {kind!r}"
    requirement = f"have a uint8 image with 3 channels for {image.path} ({number})"
    advice = f"unpack it again, and use the protocol file of the {kind} boxes"
    return ArgumentError(NAME, str(path), requirement, got, advice)
