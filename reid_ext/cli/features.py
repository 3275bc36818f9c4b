"""Feature files: .npz with features (N, D), identities (N,), and cameras, views, paths if known."""

import math
import zipfile
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

FLOATS = ("float32", "float64", "float16")
MOST_INFLATED = 100  # times its size in the file: no features are so alike
SMALL = 1 << 20  # bytes that are read whatever they were packed in


class Features(NamedTuple):
    """What a feature file holds; cameras are None where it has none."""

    features: np.ndarray
    identities: np.ndarray
    cameras: np.ndarray | None


def read_features(path: Path) -> Features:
    """Read a feature file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not an .npz file, or one without these arrays, or with arrays of Python objects
            (nothing of them is run), or that would take much more memory than the file has bytes.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} must be a feature file (.npz), but there is none")
    try:
        _check_sizes(path)
        with np.load(path, allow_pickle=False) as arrays:
            if isinstance(arrays, np.ndarray):
                raise ValueError("one array alone")
            names = set(arrays.files)
            missing = {"features", "identities"} - names
            if missing:
                raise ValueError(f"no {' and no '.join(sorted(missing))}")
            found = {name: arrays[name] for name in Features._fields if name in names}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise ValueError(
            f"{path} must be a feature file (.npz with features, identities and, for most "
            f"protocols, cameras), got {error}"
        ) from error
    features = found["features"]
    if features.ndim != 2 or features.dtype.name not in FLOATS:
        raise ValueError(
            f"{path}: features must have shape (N, D) and be {', '.join(FLOATS)}, got "
            f"{features.dtype} {features.shape}"
        )
    return Features(features, found["identities"], found.get("cameras"))


def _check_sizes(path: Path) -> None:
    """ValueError if an array unpacks to far more than it is packed in, or says it is larger."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.file_size > max(MOST_INFLATED * info.compress_size, SMALL):
                raise ValueError(
                    f"{info.filename} of {info.file_size} bytes, packed in {info.compress_size}"
                )
            with archive.open(info) as entry:
                shape, size = _declared(entry)
            if size > info.file_size:
                raise ValueError(f"{info.filename} of {info.file_size} bytes for shape {shape}")


def _declared(entry: IO[bytes]) -> tuple[tuple[int, ...], int]:
    """The shape that an array has by its header, and the bytes that takes."""
    form = np.lib.format
    old = form.read_magic(entry) == (1, 0)
    shape, _, dtype = (form.read_array_header_1_0 if old else form.read_array_header_2_0)(entry)
    return shape, 0 if dtype.hasobject else math.prod(shape) * dtype.itemsize
