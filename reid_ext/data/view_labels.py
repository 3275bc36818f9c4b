"""Viewpoint labels that come beside a dataset: VA-reID's pickles, VeRi's key points, CSV or JSON.

VA-reID's annotations are Python pickles, a format that can run any code when it is read. Here only
its plain values are read: numbers, strings, tuples, lists and dicts.
"""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.data.readers.tree import IMAGE_SUFFIXES, csv_rows, parsed_json, read_words, short
from reid_ext.data.sample import Dataset, Sample

VIEWS = {"0": 0, "1": 1, "2": 2, "front": 0, "side": 1, "back": 2}
# The finer names of VA-reID's annotations; an image of "noise" counts as seen from the side there.
FINER = VIEWS | {"front_side": 0, "back_side": 2, "noise": 1}
# The orientations of VeRi-776's key points: front, rear, left, left front, left rear, right, right
# front, right rear. What shows the front or the rear counts as that, as in VA-reID's annotations.
ORIENTATIONS = (0, 2, 1, 0, 2, 1, 0, 2)
KEY_POINTS = 20  # of a vehicle: two numbers each
KEY_POINT_FILES = ("keypoint_train.txt", "keypoint_test.txt")
WHERE = "read_view_labels"
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
            1, 2, or front, side, back, or nothing for an image without. ``.txt``: VeRi-776's
            ``keypoint_train.txt`` or ``keypoint_test.txt``; a folder: the two together. Of a path
            only the file name counts.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a file of another form or ending, a pickle that holds anything but plain values
            (nothing of it is run), two views of one name.

    Source:
        Zhu et al. 2020, arXiv:1912.01300: github zzhsysu/VA-ReID, which has no licence to pass on.
        Wang et al., ICCV 2017: github Zhongdao/VehicleReIDKeyPointData.
    """
    labels: dict[str, int] = {}
    for file in _files(Path(path)):
        if file.suffix not in _READERS:
            requirement = f"end in {', '.join(_READERS)}"
            raise ArgumentError(WHERE, "path", requirement, repr(file.name))
        for name, view in _READERS[file.suffix](file):
            key = str(name).replace("\\", "/").rpartition("/")[2]
            if view is not None and labels.setdefault(key, view) != view:
                got = f"two of {short(key)}"
                raise ArgumentError(WHERE, str(file), "have one view for each image", got)
    return labels


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = [path / name for name in KEY_POINT_FILES if (path / name).is_file()]
        if not found:
            raise FileNotFoundError(
                f"read_view_labels: path must be a file or a folder with "
                f"{' or '.join(KEY_POINT_FILES)}, got {path} without"
            )
        return found
    if not path.is_file():
        raise FileNotFoundError(f"read_view_labels: path must be a file, got {path}")
    return [path]


def with_views(dataset: Dataset, labels: Mapping[str, int]) -> WithViews:
    """Return the dataset with the views of :func:`read_view_labels`, by file name.

    An image without a label keeps what it has, which in most datasets is None. Where no label has
    an image's whole name, one with another ending counts: copies of a dataset differ in these.
    """
    stems = {_stem(name): view for name, view in labels.items()}
    splits: dict[str, Any] = {}
    missing: dict[str, int] = {}
    for split in ("train", "query", "gallery"):
        samples = [_labelled(sample, labels, stems) for sample in getattr(dataset, split)]
        splits[split] = samples
        missing[split] = sum(sample.view is None for sample in samples)
    return WithViews(dataset._replace(**splits), missing)


def _labelled(sample: Sample, labels: Mapping[str, int], stems: Mapping[str, int]) -> Sample:
    name = sample.path.name
    return sample._replace(view=labels.get(name, stems.get(_stem(name), sample.view)))


def _stem(name: str) -> str:
    """The name without its endings: .jpg, .png, .jpg.jpg."""
    while name.lower().endswith(IMAGE_SUFFIXES):
        name = name[: name.rindex(".")]
    return name


class _PlainUnpickler(pickle.Unpickler):
    """Reads values that need no class, and refuses the rest before anything is called."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to an object outside")


def _from_pickle(path: Path) -> list[tuple[str, int | None]]:
    if path.stat().st_size > LARGEST:
        requirement = f"be a pickle of at most {LARGEST >> 20} MiB"
        raise ArgumentError(WHERE, str(path), requirement, str(path.stat().st_size >> 20))
    content = path.read_bytes()
    try:  # those of Python 2 have byte strings
        labels = _PlainUnpickler(io.BytesIO(content), encoding="utf-8").load()
    except Exception as error:  # a damaged pickle can raise anything
        requirement = "be a pickle of plain values, file name to (view, name)"
        got, advice = short(str(error)), "no code in it was run"
        raise ArgumentError(WHERE, str(path), requirement, got, advice) from error
    if not isinstance(labels, dict):
        kind = type(labels).__name__
        raise ArgumentError(WHERE, str(path), "hold a dict of file names", kind)
    rows: list[tuple[str, int | None]] = []
    for name, value in labels.items():
        if not isinstance(name, str) or not _is_view_and_name(value):
            requirement = "have a view and its name, such as (0, 'front_side')"
            raise ArgumentError(WHERE, f"{path}: {short(name)}", requirement, short(value))
        rows.append((name, int(value[0])))
    return rows


def _is_view_and_name(value: Any) -> bool:
    """Only a number and a string are looked at: a tuple of tuples may take for ever to compare."""
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    view, name = value
    return isinstance(view, int) and isinstance(name, str) and FINER.get(name) == view


def _from_key_points(path: Path) -> list[tuple[str, int | None]]:
    """Lines "path x1 y1 ... x20 y20 orientation"; orientation -1: none."""
    rows: list[tuple[str, int | None]] = []
    for number, words in read_words(path):
        orientation = words[-1]
        known = orientation in map(str, range(len(ORIENTATIONS)))
        if len(words) != 2 * KEY_POINTS + 2 or not (known or orientation == "-1"):
            last = f"an orientation from 0 to {len(ORIENTATIONS) - 1}"
            requirement = f"have lines of a path, {KEY_POINTS} key points and {last}"
            got = f"{len(words)} words that end in {short(orientation)} in line {number}"
            raise ArgumentError(WHERE, str(path), requirement, got, "copy the file again")
        rows.append((words[0], ORIENTATIONS[int(orientation)] if known else None))
    return rows


def _from_csv(path: Path) -> list[tuple[str, int | None]]:
    try:
        rows, columns = csv_rows(path.read_text(encoding="utf-8-sig").splitlines())
    except ValueError as error:
        raise ArgumentError(WHERE, str(path), "be CSV in UTF-8", str(error)) from error
    if not {"path", "view"} <= set(columns):
        raise ArgumentError(WHERE, str(path), "have the columns path and view", short(columns))
    if cut := next((row for row in rows if row["path"] is None or row["view"] is None), None):
        requirement = "have a path and a view in every row, an empty one where it is not known"
        raise ArgumentError(WHERE, str(path), requirement, short(list(cut.values())))
    return [(row["path"], _view(path, row["path"], row["view"])) for row in rows]


def _from_json(path: Path) -> list[tuple[str, int | None]]:
    try:
        labels = parsed_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArgumentError(WHERE, str(path), "be JSON in UTF-8", str(error)) from error
    if not isinstance(labels, dict):
        raise ArgumentError(WHERE, str(path), "be an object of paths and views", "another value")
    return [(name, _view(path, name, view)) for name, view in labels.items()]


def _view(path: Path, name: str, view: Any) -> int | None:
    if view is None or view == "":
        return None
    if not isinstance(view, str | int) or str(view) not in VIEWS:
        view_of = f"{path}: the view of {short(name)}"
        raise ArgumentError(WHERE, view_of, f"be one of {', '.join(VIEWS)}", short(view))
    return VIEWS[str(view)]


_READERS = {
    ".pkl": _from_pickle,
    ".csv": _from_csv,
    ".json": _from_json,
    ".txt": _from_key_points,
}
