"""Reads and writes feature files: ``.npz`` of this package and the files of other programs.

A ``.mat`` file of layumi's baseline holds query and gallery. The labels of an ``.npy`` file are in
other files in the same folder. Code in a file is never executed: arrays of Python objects raise an
error.
"""

import json
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError
from reid_ext._runtime.writing import whole_file
from reid_ext.features import containers
from reid_ext.features.containers import Arrays
from reid_ext.features.names import IDENTITIES, NAMES

if TYPE_CHECKING:
    from reid_ext.features.feature_set import FeatureSet

FUNCTION = "FeatureSet.load"
KIND = "be a feature file (.npz with features, identities and, for most protocols, cameras)"
SHORT = {"query": "query", "gallery": "gall"}  # the prefixes in files of AGW's code
SHOWN = 8  # names of arrays in an error


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
    prefixes = [f"{side}_", f"{SHORT[side]}_"] if side else []
    try:
        arrays = containers.read(FUNCTION, path)
        found, used = _named(arrays, prefixes + ([] if holds_both else [""]))
        if missing := sorted({"features", IDENTITIES} - found.keys()):
            what = f"no {' and no '.join(missing)}"
            if holds_both:
                advice = f"pass the {'gallery' if side == 'query' else 'query'} as a second file"
                raise ValueError(f"{what} of the {side}; {advice}, or one file with both")
            raise ValueError(f"{what}{_held(arrays)}")
        found["features"] = _matrix(found)
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
    in_file = {key.lower(): key for key in arrays}
    for name, known in NAMES.items():
        keys = (prefix + word for prefix in prefixes for word in known)
        if key := next((in_file[key] for key in keys if key in in_file), None):
            found[name] = arrays[key]()
            used.add(key)
    return found, used


def _held(arrays: Arrays) -> str:
    """Return the end of an error message: the names of the arrays in the file, if any."""
    names = ", ".join(list(arrays)[:SHOWN]) + (", …" if len(arrays) > SHOWN else "")
    return f" among {names}; name them features and identities" if arrays else ""


def _matrix(found: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the features as (N, D); ValueError says what the array is instead."""
    x, labels = found["features"], found[IDENTITIES]
    if x.ndim > 2 and set(x.shape[2:]) == {1}:  # pooled to one value for each channel
        x = x.reshape(x.shape[:2])
    if x.dtype.kind == "f" and not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    if x.ndim == 2 and len(x) != len(labels) == x.shape[1]:
        raise ValueError(f"features of shape {x.shape} for {len(labels)} labels; transpose them")
    if x.dtype.kind in "iu":
        advice = "convert them to float32, with the scale of the program that made them integers"
        raise ValueError(f"features of {x.dtype}; {advice}")
    return x


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
        raise ValueError("an array 'source' that does not contain a JSON object")
    return source
