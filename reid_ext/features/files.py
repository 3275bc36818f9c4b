"""Reads and writes feature files: ``.npz`` of this package, ``.mat`` and ``.npy`` of others.

A ``.mat`` file of layumi's baseline holds query and gallery. The labels of an ``.npy`` file are in
other files in the same folder. Code in a file is never executed: arrays of Python objects raise an
error.
"""

import json
import math
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError
from reid_ext._runtime.writing import whole_file

if TYPE_CHECKING:
    from reid_ext.features.feature_set import FeatureSet

FUNCTION = "FeatureSet.load"
KIND = "be a feature file (.npz with features, identities and, for most protocols, cameras)"
# The names in files of this package first, then those of other programs.
NAMES = {
    "features": ("features", "feature", "feat", "feats", "f"),
    "identities": ("identities", "ids", "pids", "labels", "label"),
    "cameras": ("cameras", "cams", "camids", "cam"),
    "views": ("views", "view"),
    "paths": ("paths", "path", "files"),
    "modalities": ("modalities",),
}
SHORT = {"query": "query", "gallery": "gall"}  # the prefixes in files of AGW's code
MOST_INFLATED = 100  # times the size in the file; real features compress less
MAGIC = b"\x93NUMPY"  # the first bytes of an .npy file
SMALL = 1 << 20  # in bytes; smaller arrays are exempt from MOST_INFLATED

Arrays = Mapping[str, Callable[[], np.ndarray]]


class Contents(NamedTuple):
    """The content of a feature file, as arguments of :class:`FeatureSet`."""

    features: np.ndarray
    columns: dict[str, np.ndarray]
    source: dict[str, Any]


def read(path: Path, side: str | None, holds_both: bool) -> Contents:
    """Read one side of a feature file; see :meth:`FeatureSet.load`."""
    if not path.is_file():
        got = "a folder; name a file in it" if path.is_dir() else "a path that does not exist"
        raise FileNotFoundError(f"{FUNCTION}: {path} must be a feature file (.npz), got {got}")
    reader = {".mat": _read_mat, ".npy": _read_npy}.get(path.suffix.lower(), _read_npz)
    prefixes = [f"{side}_", f"{SHORT[side]}_"] if side else []
    try:
        arrays = reader(path)
        found, used = _named(arrays, prefixes + ([] if holds_both else [""]))
        if missing := sorted({"features", "identities"} - found.keys()):
            of = f" of the {side}; pass two files" if holds_both else ""
            raise ValueError(f"no {' and no '.join(missing)}{of}")
        if not any(key.startswith(tuple(prefixes)) for key in used):  # the file holds one side only
            found |= _further_columns(path, arrays, used, len(found["features"]))
        source = _source(arrays)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(FUNCTION, str(path), KIND, str(error)) from error
    return Contents(found.pop("features"), found, source)


def write(features: "FeatureSet", path: Path) -> None:
    """Write a set as ``.npz``; see :meth:`FeatureSet.save`."""
    if path.suffix != ".npz":
        raise ArgumentError("FeatureSet.save", "path", "end in .npz", str(path))
    arrays = {"features": features.tensor(), **features.columns}
    content = {
        name: values.cpu().numpy() if isinstance(values, Tensor) else values
        for name, values in arrays.items()
    }
    if features.source:
        content["source"] = np.array(json.dumps(dict(features.source), default=str))
    write_arrays(path, content)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as an ``.npz`` file, either completely or not at all.

    Args:
        path: The file to write. An existing file is replaced.
        arrays: Names and arrays. Arrays of Python objects are invalid.

    Raises:
        OSError: the file cannot be written.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from reid_ext.features import write_arrays
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "ranks.npz"
        ...     write_arrays(path, {"ranks": np.array([1, 3])})
        ...     np.load(path)["ranks"].tolist()
        [1, 3]
    """
    with whole_file(path) as part, zipfile.ZipFile(part, "w") as file:
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def load_pair(query: str | Path, gallery: str | Path | None) -> "tuple[FeatureSet, FeatureSet]":
    """Read query and gallery from two feature files, or from one file that holds both.

    Args:
        query: The feature file of the queries, or of both.
        gallery: The feature file of the gallery. None if ``query`` holds both.

    Returns:
        The query and the gallery as :class:`FeatureSet`.

    Raises:
        Exception: as in :meth:`FeatureSet.load`.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from reid_ext.features import FeatureSet, load_pair
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = [Path(folder) / "query.npz", Path(folder) / "gallery.npz"]
        ...     for path in paths:
        ...         FeatureSet(np.eye(2), identities=[1, 2]).save(path)
        ...     query, gallery = load_pair(*paths)
        >>> gallery
        FeatureSet(2 x 2 float64; columns: identities; source: unknown)
    """
    from reid_ext.features.feature_set import FeatureSet

    both = gallery is None
    return (
        FeatureSet.load(query, side="query", holds_both=both),
        FeatureSet.load(query if gallery is None else gallery, side="gallery", holds_both=both),
    )


def _named(arrays: Arrays, prefixes: Sequence[str]) -> tuple[dict[str, np.ndarray], set[str]]:
    """Return the known arrays with one of the prefixes, and their names in the file."""
    found, used = {}, set()
    for name, known in NAMES.items():
        keys = (prefix + word for prefix in prefixes for word in known)
        if key := next((key for key in keys if key in arrays), None):
            found[name] = arrays[key]()
            used.add(key)
    return found, used


def _further_columns(
    path: Path, arrays: Arrays, used: set[str], rows: int
) -> dict[str, np.ndarray]:
    """Return the other arrays with one value per row, and warn about the remaining arrays."""
    columns, left_out = {}, []
    for key in arrays:
        if key in used or key == "source":
            continue
        array = arrays[key]()
        if array.shape == (rows,) and array.dtype.kind in "iufbUS" and key.isidentifier():
            columns[key] = array
        else:
            left_out.append(f"{key} {array.dtype} {array.shape}")
    if left_out:
        words = f"{FUNCTION}: {path} holds arrays that are not columns of {rows} values"
        warnings.warn(f"{words}: {', '.join(left_out)}; they are ignored", stacklevel=4)
    return columns


def _source(arrays: Arrays) -> dict[str, Any]:
    if "source" not in arrays:
        return {}
    text = arrays["source"]()
    if text.shape != () or text.dtype.kind != "U":
        return {}  # a column of another program
    source = json.loads(str(text))
    if not isinstance(source, dict):
        raise ValueError("a source that is not a JSON object")
    return source


def _read_npz(path: Path) -> Arrays:
    _check_sizes(path)
    if not zipfile.is_zipfile(path):  # NumPy would treat it as a pickle and advise to load that
        with path.open("rb") as file:
            one_array = file.read(len(MAGIC)) == MAGIC
        raise ValueError("a single array" if one_array else "another or an incomplete file")
    arrays = np.load(path, allow_pickle=False)
    return {name: partial(arrays.__getitem__, name) for name in arrays.files}


def _read_npy(path: Path) -> Arrays:
    files = {"features": path}
    for name in ("identities", "cameras"):
        for word in NAMES[name]:
            beside = path.with_name(f"{path.stem}_{word}.npy")
            if beside.is_file():
                files.setdefault(name, beside)
    if "identities" not in files:
        raise ValueError(f"features without {path.stem}_ids.npy in the same folder")
    return {name: partial(np.load, file, allow_pickle=False) for name, file in files.items()}


def _read_mat(path: Path) -> Arrays:
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
            "a MATLAB file of version 7.3; save it with -v7 or scipy.io.savemat"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # an error of SciPy, zlib, struct or others, depending on the file
        raise ValueError(f"another or an incomplete file ({type(error).__name__})") from error

    def column(name: str) -> np.ndarray:
        array = np.asarray(arrays[name])
        if array.dtype == object:
            raise ValueError(f"{name} as cells; save a matrix of numbers")
        is_features = name.split("_")[-1] in NAMES["features"]
        return array if is_features else _vector(array)

    return {name: partial(column, name) for name in arrays if not name.startswith("__")}


def _vector(array: np.ndarray) -> np.ndarray:
    """Return a MATLAB row or column as (N,), with whole numbers as integers."""
    flat = array.reshape(-1) if array.ndim == 2 and 1 in array.shape else array
    whole = flat.dtype.kind == "f" and bool((flat == np.round(flat)).all())
    return flat.astype(np.int64) if whole else flat


def _check_sizes(path: Path) -> None:
    """Raise ValueError if an array is much larger than its data in the file."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.file_size > max(MOST_INFLATED * info.compress_size, SMALL):
                raise ValueError(
                    f"{info.filename} of {info.file_size} bytes, compressed to {info.compress_size}"
                )
            with archive.open(info) as entry:
                shape, size = _declared(entry)
            if size > info.file_size:
                raise ValueError(f"{info.filename} with {info.file_size} bytes for shape {shape}")


def _declared(entry: IO[bytes]) -> tuple[tuple[int, ...], int]:
    """Return the shape in the header of an array, and its size in bytes."""
    form = np.lib.format
    old = form.read_magic(entry) == (1, 0)
    shape, _, dtype = (form.read_array_header_1_0 if old else form.read_array_header_2_0)(entry)
    return shape, 0 if dtype.hasobject else math.prod(shape) * dtype.itemsize
