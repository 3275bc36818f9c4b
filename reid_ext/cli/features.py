"""Feature files: .npz with features (N, D), identities (N,), and cameras, views, paths if known."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

FLOATS = ("float32", "float64", "float16")


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
            (nothing of them is run).
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} must be a feature file (.npz), but there is none")
    try:
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
