"""Viewpoint labels that come beside a dataset: VA-reID's pickles, CSV or JSON files.

VA-reID's annotations are Python pickles, a format that can run any code when it is read. Here only
its plain values are read: numbers, strings, tuples, lists and dicts.
"""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from reid_ext.data.sample import Dataset, Sample
from reid_ext.data.tree import csv_rows, parsed_json, short

VIEWS = {"0": 0, "1": 1, "2": 2, "front": 0, "side": 1, "back": 2}
# The finer names of VA-reID's annotations; an image of "noise" counts as seen from the side there.
FINER = VIEWS | {"front_side": 0, "back_side": 2, "noise": 1}
LARGEST = 64 << 20  # bytes of a pickle


class WithViews(NamedTuple):
    """A dataset with views, and how many images of each split have none."""

    dataset: Dataset
    missing: dict[str, int]


def read_view_labels(path: str | Path) -> dict[str, int]:
    """Return the view of each image by its file name: 0 front, 1 side, 2 back.

    Args:
        path: ``.pkl``: VA-reID's ``*_image_map_direction.pkl``, of either protocol. ``.csv``: with
            the columns ``path`` and ``view``. ``.json``: an object of paths and views. Views are 0,
            1, 2, or front, side, back; of a path only the file name counts.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file of another form or ending, a pickle that holds anything but plain values
            (nothing of it is run), two views of one name.

    Source:
        Zhu et al. 2020, arXiv:1912.01300: github zzhsysu/VA-ReID, which has no licence to pass on.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"read_view_labels: path must be a file, got {path}")
    readers = {".pkl": _from_pickle, ".csv": _from_csv, ".json": _from_json}
    if path.suffix not in readers:
        raise ValueError(
            f"read_view_labels: path must end in {', '.join(readers)}, got {path.name!r}"
        )
    labels: dict[str, int] = {}
    for name, view in readers[path.suffix](path):
        key = str(name).replace("\\", "/").rpartition("/")[2]
        if labels.setdefault(key, view) != view:
            raise ValueError(f"{path}: the images must have one view each, got two of {short(key)}")
    return labels


def with_views(dataset: Dataset, labels: Mapping[str, int]) -> WithViews:
    """Return the dataset with the views of :func:`read_view_labels`, by file name.

    An image without a label keeps what it has, which in most datasets is None.
    """
    splits: dict[str, Any] = {}
    missing: dict[str, int] = {}
    for split in ("train", "query", "gallery"):
        samples = [_labelled(sample, labels) for sample in getattr(dataset, split)]
        splits[split] = samples
        missing[split] = sum(sample.view is None for sample in samples)
    return WithViews(dataset._replace(**splits), missing)


def _labelled(sample: Sample, labels: Mapping[str, int]) -> Sample:
    return sample._replace(view=labels.get(sample.path.name, sample.view))


class _PlainUnpickler(pickle.Unpickler):
    """Reads values that need no class, and refuses the rest before anything is called."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to an object outside")


def _from_pickle(path: Path) -> list[tuple[str, int]]:
    if path.stat().st_size > LARGEST:
        raise ValueError(
            f"{path}: a pickle of views must be at most {LARGEST >> 20} MiB, got "
            f"{path.stat().st_size >> 20}"
        )
    content = path.read_bytes()
    try:  # those of Python 2 have byte strings
        labels = _PlainUnpickler(io.BytesIO(content), encoding="utf-8").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(
            f"{path} must be a pickle of plain values, file name to (view, name), got "
            f"{short(str(error))}; nothing of it was run"
        ) from error
    if not isinstance(labels, dict):
        raise ValueError(f"{path} must hold a dict of file names, got {type(labels).__name__}")
    rows = []
    for name, value in labels.items():
        if not isinstance(name, str) or not _is_view_and_name(value):
            raise ValueError(
                f"{path}: {short(name)} must have a view and its name, such as (0, 'front_side'), "
                f"got {short(value)}"
            )
        rows.append((name, int(value[0])))
    return rows


def _is_view_and_name(value: Any) -> bool:
    """Only a number and a string are looked at: a tuple of tuples may take for ever to compare."""
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    view, name = value
    return isinstance(view, int) and isinstance(name, str) and FINER.get(name) == view


def _from_csv(path: Path) -> list[tuple[str, int]]:
    try:
        rows, columns = csv_rows(path.read_text(encoding="utf-8").splitlines())
    except ValueError as error:
        raise ValueError(f"{path} must be CSV in UTF-8, got {error}") from error
    if not {"path", "view"} <= set(columns):
        raise ValueError(f"{path} must have the columns path and view, got {short(columns)}")
    return [(row["path"], _view(path, row["path"], row["view"])) for row in rows]


def _from_json(path: Path) -> list[tuple[str, int]]:
    try:
        labels = parsed_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must be JSON in UTF-8, got {error}") from error
    if not isinstance(labels, dict):
        raise ValueError(f"{path} must be an object of paths and views, got another value")
    return [(name, _view(path, name, view)) for name, view in labels.items()]


def _view(path: Path, name: str, view: Any) -> int:
    if not isinstance(view, str | int) or str(view) not in VIEWS:
        raise ValueError(
            f"{path}: the view of {short(name)} must be one of {', '.join(VIEWS)}, got "
            f"{short(view)}"
        )
    return VIEWS[str(view)]
