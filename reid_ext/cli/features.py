"""Feature files: features (N, D), identities and, if known, cameras, views, modalities, paths.

Ours are ``.npz``. Files of other programs are read by the names they use: a ``.mat`` of layumi's
baseline holds query and gallery, an ``.npy`` has its labels in files beside it. Nothing in a file
is run: arrays of Python objects are refused.
"""

import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from reid_ext._runtime.writing import whole_file

FLOATS = ("float32", "float64", "float16")
# Ours first, then those of other programs.
NAMES = {
    "features": ("features", "feature", "feat", "feats", "f"),
    "identities": ("identities", "ids", "pids", "labels", "label"),
    "cameras": ("cameras", "cams", "camids", "cam"),
    "views": ("views", "view"),
    "paths": ("paths", "path", "files"),
    "modalities": ("modalities",),
}
SHORT = {"query": "query", "gallery": "gall"}  # as the code of AGW calls its arrays
MOST_INFLATED = 100  # times its size in the file: no features are so alike
MAGIC = b"\x93NUMPY"  # how one array begins
SMALL = 1 << 20  # bytes that are read whatever they were packed in


class Features(NamedTuple):
    """What a feature file holds; None where it has no such array."""

    features: np.ndarray
    identities: np.ndarray
    cameras: np.ndarray | None = None
    views: np.ndarray | None = None
    paths: np.ndarray | None = None
    modalities: np.ndarray | None = None


def read_features(path: Path, side: str, *, in_one: bool = False) -> Features:
    """Read a feature file.

    Args:
        path: ``.npz``; ``.mat`` (needs SciPy); or ``.npy`` of the features, with ``NAME_ids.npy``
            and perhaps ``NAME_cams.npy`` beside it.
        side: ``"query"`` or ``"gallery"``: which part to take of a file that holds both.
        in_one: The file must hold both.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another file, one without these arrays, or with arrays of Python objects
            (nothing of them is run), or that would take much more memory than the file has bytes.
        ImportError: a ``.mat`` file, and no SciPy.
    """
    if not path.is_file():
        came = "got a folder; name a file in it" if path.is_dir() else "but there is none"
        raise FileNotFoundError(f"{path} must be a feature file (.npz), {came}")
    read = {".mat": _read_mat, ".npy": _read_npy}.get(path.suffix, _read_npz)
    try:
        prefixes = [f"{side}_", f"{SHORT[side]}_"] + ([] if in_one else [""])
        found = _named(read(path), prefixes)
        missing = {"features", "identities"} - found.keys()
        if missing:
            of = f" of the {side}; give two files" if in_one else ""
            raise ValueError(f"no {' and no '.join(sorted(missing))}{of}")
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
    if not features.size:
        raise ValueError(f"{path}: features must have rows and columns, got {features.shape}")
    for name in ("identities", "cameras", "modalities"):
        if name in found and found[name].dtype.kind not in "iu":
            raise ValueError(
                f"{path}: {name} must be integers, got {found[name].dtype}; number them alike in "
                "both files"
            )
    for name in list(NAMES)[1:]:
        if name in found and found[name].shape != features.shape[:1]:
            raise ValueError(
                f"{path}: {name} must have shape ({len(features)},) like features, got "
                f"{found[name].shape}"
            )
    if "paths" in found and found["paths"].dtype.kind == "S":
        found["paths"] = np.char.decode(found["paths"], "utf-8", "replace")
    return Features(**found)


def read_pair(query: Path, gallery: Path | None) -> tuple[Features, Features]:
    """Query and gallery of two files, or of one that holds both; errors as read_features."""
    both = gallery is None
    return (
        read_features(query, "query", in_one=both),
        read_features(gallery or query, "gallery", in_one=both),
    )


def _named(arrays: Mapping[str, Callable[[], np.ndarray]], prefixes: Sequence[str]) -> dict:
    """Our names of the arrays that there are with one of these prefixes, read."""
    found = {}
    for name, known in NAMES.items():
        keys = (prefix + word for prefix in prefixes for word in known)
        if key := next((key for key in keys if key in arrays), None):
            found[name] = arrays[key]()
    return found


def _read_npz(path: Path) -> dict[str, Callable[[], np.ndarray]]:
    _check_sizes(path)
    if not zipfile.is_zipfile(path):  # NumPy would take it for a pickle and advise to run it
        with path.open("rb") as file:
            one_array = file.read(len(MAGIC)) == MAGIC
        raise ValueError("one array alone" if one_array else "a file that is no .npz, or not whole")
    arrays = np.load(path, allow_pickle=False)
    return {name: partial(arrays.__getitem__, name) for name in arrays.files}


def _read_npy(path: Path) -> dict[str, Callable[[], np.ndarray]]:
    files = {"features": path}
    for name in ("identities", "cameras"):
        for word in NAMES[name]:
            beside = path.with_name(f"{path.stem}_{word}.npy")
            if beside.is_file():
                files.setdefault(name, beside)
    if "identities" not in files:
        raise ValueError(f"features without {path.stem}_ids.npy beside them")
    return {name: partial(np.load, file, allow_pickle=False) for name, file in files.items()}


def _read_mat(path: Path) -> dict[str, Callable[[], np.ndarray]]:
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ImportError(
            f'{path} needs SciPy, which is not installed; install it with pip install "scipy"'
        ) from None
    try:
        arrays = loadmat(path)
    except NotImplementedError:
        raise ValueError(
            "a MATLAB file of version 7.3; save it with -v7, or scipy.io.savemat"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # SciPy's own, zlib's, struct's and others, by what the bytes are
        raise ValueError(
            f"a file that is no .mat, or not whole ({type(error).__name__})"
        ) from error

    def column(name: str) -> np.ndarray:
        array = np.asarray(arrays[name])
        if array.dtype == object:
            raise ValueError(f"{name} of cells; save a matrix of numbers")
        is_features = name.split("_")[-1] in NAMES["features"]
        return array if is_features else _vector(array)

    return {name: partial(column, name) for name in arrays if not name.startswith("__")}


def _vector(array: np.ndarray) -> np.ndarray:
    """A row or column of MATLAB as (N,), whole numbers as integers."""
    flat = array.reshape(-1) if array.ndim == 2 and 1 in array.shape else array
    whole = flat.dtype.kind == "f" and bool((flat == np.round(flat)).all())
    return flat.astype(np.int64) if whole else flat


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays as ``.npz``, as a whole or not at all."""
    with whole_file(path) as part, zipfile.ZipFile(part, "w") as file:
        for name, array in arrays.items():  # what np.savez does, with its stubs in order
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


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
