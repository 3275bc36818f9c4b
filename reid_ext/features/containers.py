"""The arrays in a file, by name: one reader for each kind of file.

Nothing in a file is executed: arrays of Python objects and pickles raise an error. Sizes are
checked before anything is unpacked.
"""

import math
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from reid_ext._runtime.arguments import dense
from reid_ext._runtime.matlab import read_mat
from reid_ext._runtime.spreadsheet import read_table
from reid_ext._runtime.tensor_file import load_tensors
from reid_ext.features.names import IDENTITIES, OF_LABELS, feature_columns, is_features

MOST_INFLATED = 100  # times the size in the file; real features compress less
MOST_PER_ROW = 1024  # bytes of a column for each row of the features
SMALL = 1 << 20  # in bytes; smaller arrays are exempt from MOST_INFLATED
MAGIC = b"\x93NUMPY"  # the first bytes of an .npy file

Arrays = Mapping[str, Callable[[], np.ndarray]]

CONVERT = "read it with the program that wrote it and save features and labels with numpy.savez"
NOT_READ = {
    **dict.fromkeys((".pkl", ".pickle"), "a pickle, which can run code when it is loaded"),
    **dict.fromkeys((".h5", ".hdf5"), "an HDF5 file, which has no standard names"),
    ".json": "a JSON file",
    ".xlsx": "a workbook; save the sheet as CSV",
}


def read(function: str, path: Path) -> Arrays:
    """Return the arrays of a file by name; ValueError says what the file is instead."""
    suffix = path.suffix.lower()
    if suffix in NOT_READ:
        raise ValueError(f"{NOT_READ[suffix]}; {CONVERT}")
    if suffix in (".csv", ".tsv", ".txt"):
        return _read_table(function, path)
    if suffix == ".mat":
        return _read_mat(function, path)
    readers = {
        ".npy": _read_npy,
        ".parquet": _read_parquet,
        ".pt": _read_torch,
        ".pth": _read_torch,
    }
    return readers.get(suffix, _read_npz)(path)


def _read_npz(path: Path) -> Arrays:
    if not zipfile.is_zipfile(path):  # NumPy would treat it as a pickle and advise to load that
        with path.open("rb") as file:
            one_array = file.read(len(MAGIC)) == MAGIC
        raise ValueError(
            "a single array" if one_array else "a file of another kind, or an incomplete one"
        )
    _check_sizes(path)
    arrays = np.load(path, allow_pickle=False)
    return {name: partial(arrays.__getitem__, name) for name in arrays.files}


def _read_npy(path: Path) -> Arrays:
    files = {"features": path}
    for name, words in OF_LABELS.items():
        for word in words:
            beside = path.with_name(f"{path.stem}_{word}.npy")
            if beside.is_file():
                files.setdefault(name, beside)
    if IDENTITIES not in files:
        raise ValueError(f"features without {path.stem}_ids.npy in the same folder")
    return {name: partial(np.load, file, allow_pickle=False) for name, file in files.items()}


def _read_torch(path: Path) -> Arrays:
    try:
        content = load_tensors(path)
    except Exception as error:  # an error of pickle, zipfile or torch, depending on the file
        raise ValueError(
            f"a file that torch.load(weights_only=True) does not read ({type(error).__name__}); "
            "save a dict of tensors with torch.save"
        ) from error
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise ValueError(f"a {type(content).__name__}; save a dict of tensors with torch.save")
    arrays: dict[str, Callable[[], np.ndarray]] = {}
    for name, value in content.items():
        if isinstance(value, torch.Tensor):
            arrays[name] = partial(_array_of, name, value)
        elif isinstance(value, list | tuple):
            arrays[name] = partial(np.asarray, value)
    return arrays


def _array_of(name: str, tensor: torch.Tensor) -> np.ndarray:
    plain = dense("FeatureSet.load", name, tensor).detach()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


def _read_table(function: str, path: Path) -> Arrays:
    columns = read_table(function, path)
    names = feature_columns(columns)
    arrays: dict[str, Callable[[], np.ndarray]] = {
        name: partial(np.array, values) for name, values in columns.items() if name not in names
    }
    if names:

        def features() -> np.ndarray:
            return np.array([columns[name] for name in names], dtype=np.float64).T.copy()

        arrays["features"] = features
    return arrays


def _read_parquet(path: Path) -> Arrays:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(
            f"{path} requires pyarrow, which cannot be imported ({error}); run pip install pyarrow"
        ) from None
    try:
        table = parquet.read_table(path)
    except Exception as error:  # pyarrow has several error types for damaged files
        raise ValueError(
            f"a file of another kind, or an incomplete one ({type(error).__name__})"
        ) from error
    names = feature_columns(table.column_names)

    def column(name: str) -> np.ndarray:
        values = table[name].to_numpy()
        lists = values.dtype == object and is_features(name)
        return np.stack(list(values)) if lists else _as_text(values)

    arrays: dict[str, Callable[[], np.ndarray]] = {
        name: partial(column, name) for name in table.column_names if name not in names
    }
    if names:
        arrays["features"] = lambda: np.stack([table[name].to_numpy() for name in names], 1)
    return arrays


def _as_text(values: np.ndarray) -> np.ndarray:
    is_text = values.dtype == object and all(isinstance(value, str) for value in values)
    return values.astype(str) if is_text else values


def _read_mat(function: str, path: Path) -> Arrays:
    arrays = read_mat(function, path)

    def column(name: str) -> np.ndarray:
        array = np.asarray(arrays[name])
        if array.dtype == object:
            raise ValueError(f"{name} as cells; save a matrix of numbers")
        is_row = not is_features(name.split("_")[-1]) and array.ndim == 2 and 1 in array.shape
        return array.reshape(-1) if is_row else array

    return {name: partial(column, name) for name in arrays}


def _check_sizes(path: Path) -> None:
    """Raise ValueError if an array is much larger than its data in the file can be.

    Features hardly compress, so their size is bounded by the size in the file. Labels may compress
    to almost nothing: a column is bounded by the number of rows of the features.
    """
    with zipfile.ZipFile(path) as archive:
        declared = {info.filename: _declared(archive, info) for info in archive.infolist()}
        rows = 0
        for info in archive.infolist():
            shape, _ = declared[info.filename]
            bounded = info.file_size <= max(MOST_INFLATED * info.compress_size, SMALL)
            if bounded and len(shape) >= 2:
                rows = max(rows, shape[0])
        for info in archive.infolist():
            shape, size = declared[info.filename]
            most = max(MOST_INFLATED * info.compress_size, SMALL)
            if len(shape) == 1 or (len(shape) == 2 and 1 in shape):
                most = max(most, rows * MOST_PER_ROW)
            if info.file_size > most:
                growth = f"from {info.compress_size} to {info.file_size} bytes"
                raise ValueError(f"{info.filename}, which grows {growth}; save it uncompressed")
            if size > info.file_size:
                raise ValueError(f"an array {info.filename} too short for its shape {shape}")


def _declared(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], int]:
    """Return the shape in an array's header, and the bytes of an array of that shape."""
    with archive.open(info) as entry:
        return _header(entry)


def _header(entry: IO[bytes]) -> tuple[tuple[int, ...], int]:
    form: Any = np.lib.format
    old = form.read_magic(entry) == (1, 0)
    shape, _, dtype = (form.read_array_header_1_0 if old else form.read_array_header_2_0)(entry)
    return shape, 0 if dtype.hasobject else math.prod(shape) * dtype.itemsize
