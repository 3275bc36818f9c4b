"""Readers of view label files: VA-reID's pickles, VeRi-776's key points, CSV and JSON.

VA-reID's annotations are Python pickles, a format that can run arbitrary code when it is loaded.
This module reads plain values only: numbers, strings, tuples, lists and dicts.
"""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from reid_ext._runtime.arguments import ArgumentError
from reid_ext._runtime.spreadsheet import read_table, read_text
from reid_ext.data.readers.tree import IMAGE_SUFFIXES, parsed_json, read_words, short
from reid_ext.data.sample import Dataset, Sample

VIEWS = {"0": 0, "1": 1, "2": 2, "front": 0, "side": 1, "back": 2}
# The additional names of VA-reID's annotations, which count "noise" as a side view.
FINER = VIEWS | {"front_side": 0, "back_side": 2, "noise": 1}
# The orientations of VeRi-776's key points: front, rear, left, left front, left rear, right, right
# front, right rear. Oblique views count as front or back, as in VA-reID's annotations.
ORIENTATIONS = (0, 2, 1, 0, 2, 1, 0, 2)
KEY_POINTS = 20  # of a vehicle; each has two coordinates
KEY_POINT_FILES = ("keypoint_train.txt", "keypoint_test.txt")
WHERE = "read_view_labels"
LARGEST = 64 << 20  # largest size of a pickle in bytes


class WithViews(NamedTuple):
    """The result of :func:`with_views`.

    Attributes:
        dataset: The dataset with the views.
        missing: Number of images without a view, by split.
    """

    dataset: Dataset
    missing: dict[str, int]


def read_view_labels(path: str | Path) -> dict[str, int]:
    """Return the view of each image by file name: 0 for front, 1 for side, 2 for back.

    Args:
        path: File of the labels. The ending determines the format:

            - ``.pkl``: VA-reID's ``*_image_map_direction.pkl``, in any pickle protocol.
            - ``.csv``: columns ``path`` and ``view``.
            - ``.json``: an object that maps paths to views.
            - ``.txt``: VeRi-776's ``keypoint_train.txt`` or ``keypoint_test.txt``. For a folder,
              both files are read.

            In CSV and JSON files a view is 0, 1, 2, front, side, back, or empty (``null``) for an
            image without a view. Only the file name of a path is used.

    Returns:
        Mapping from file name to view, without the images that have no view.

    Raises:
        FileNotFoundError: The file does not exist.
        ArgumentError: The file has another format or ending, a pickle contains more than plain
            values (none of its code is run), or an image has two different views.

    Source:
        Zhu et al. 2020, arXiv:1912.01300: github zzhsysu/VA-ReID, which has no licence to pass on.
        Wang et al., ICCV 2017: github Zhongdao/VehicleReIDKeyPointData.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "views.csv")
        ...     _ = path.write_text("path,view\\ntrain/a.jpg,front\\nb.jpg,2\\nc.jpg,\\n")
        ...     labels = data.read_view_labels(path)
        >>> labels
        {'a.jpg': 0, 'b.jpg': 2}
    """
    labels: dict[str, int] = {}
    for file in _files(Path(path)):
        if file.suffix not in _READERS:
            requirement = f"end in {', '.join(_READERS)}"
            advice = "convert the labels to one of these formats"
            raise ArgumentError(WHERE, "path", requirement, repr(file.name), advice)
        for name, view in _READERS[file.suffix](file):
            key = str(name).replace("\\", "/").rpartition("/")[2]
            if view is not None and labels.setdefault(key, view) != view:
                got = f"views {labels[key]} and {view} for {short(key)}"
                requirement, advice = "have one view for each image name", "remove one of them"
                raise ArgumentError(WHERE, str(file), requirement, got, advice)
    return labels


def _files(path: Path) -> list[Path]:
    found = [path] if path.is_file() else [path / name for name in KEY_POINT_FILES]
    found = [file for file in found if file.is_file()]
    if not found:
        is_not = "has neither" if path.is_dir() else "does not exist"
        raise FileNotFoundError(
            "read_view_labels: path must be a file, or a folder with key point files "
            f"({' or '.join(KEY_POINT_FILES)}), got {path}, which {is_not}"
        )
    return found


def with_views(dataset: Dataset, labels: Mapping[str, int]) -> WithViews:
    """Return the dataset with the given views.

    A label belongs to the images with the same file name. Otherwise a label whose name differs only
    in its ending is used, because the endings differ between copies of a dataset. An image without
    a label keeps its view, which most datasets leave at None.

    Args:
        dataset: Dataset to label; it is not modified.
        labels: Mapping from file name to view, as :func:`read_view_labels` returns it.

    Returns:
        The labelled ``dataset``, and ``missing``, the number of images of each split without a
        view.

    Examples:
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> train = [data.Sample(Path("a.png"), 1, 1), data.Sample(Path("b.png"), 2, 1)]
        >>> labelled = data.with_views(data.Dataset("mine", train, [], []), {"a.jpg": 2})
        >>> [sample.view for sample in labelled.dataset.train], labelled.missing["train"]
        ([2, None], 1)
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
    """Reads plain values, and raises an error before a pickle can call a class or function."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"a reference to {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("a reference to an external object")


def _from_pickle(path: Path) -> list[tuple[str, int | None]]:
    if path.stat().st_size > LARGEST:
        requirement = f"be a pickle of at most {LARGEST >> 20} MiB"
        got, advice = f"{path.stat().st_size >> 20} MiB", "check that it is a file of view labels"
        raise ArgumentError(WHERE, str(path), requirement, got, advice)
    content = path.read_bytes()
    try:  # UTF-8, because pickles of Python 2 contain byte strings
        labels = _PlainUnpickler(io.BytesIO(content), encoding="utf-8").load()
    except Exception as error:  # a damaged pickle can raise anything
        requirement = "be a pickle of plain values that maps file names to (view, name)"
        got, advice = short(str(error)), "no code in it was run; download the file again"
        raise ArgumentError(WHERE, str(path), requirement, got, advice) from error
    if not isinstance(labels, dict):
        kind, advice = type(labels).__name__, "give a *_image_map_direction.pkl of VA-reID"
        raise ArgumentError(WHERE, str(path), "hold a dict of file names", kind, advice)
    rows: list[tuple[str, int | None]] = []
    for name, value in labels.items():
        if not isinstance(name, str) or not _is_view_and_name(value):
            requirement = "have a view and its name, such as (0, 'front_side')"
            place, advice = f"{path}: {short(name)}", "download the file again"
            raise ArgumentError(WHERE, place, requirement, short(value), advice)
        rows.append((name, int(value[0])))
    return rows


def _is_view_and_name(value: Any) -> bool:
    """Compare a number and a string only: to compare deeply nested tuples may never end."""
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    view, name = value
    return isinstance(view, int) and isinstance(name, str) and FINER.get(name) == view


def _from_key_points(path: Path) -> list[tuple[str, int | None]]:
    """Read lines "path x1 y1 ... x20 y20 orientation"; orientation -1 means no view."""
    rows: list[tuple[str, int | None]] = []
    for number, words in read_words(path):
        orientation = words[-1]
        known = orientation in map(str, range(len(ORIENTATIONS)))
        if len(words) != 2 * KEY_POINTS + 2 or not (known or orientation == "-1"):
            last = f"an orientation from -1 to {len(ORIENTATIONS) - 1}"
            requirement = f"have lines of a path, {KEY_POINTS} key points and {last}"
            got = f"{len(words)} words that end in {short(orientation)} in line {number}"
            raise ArgumentError(WHERE, str(path), requirement, got, "copy the file again")
        rows.append((words[0], ORIENTATIONS[int(orientation)] if known else None))
    return rows


def _from_csv(path: Path) -> list[tuple[str, int | None]]:
    columns = read_table(WHERE, path, ("path", "view"))
    rows = zip(columns["path"], columns["view"], strict=True)
    return [(name, _view(path, name, view)) for name, view in rows]


def _from_json(path: Path) -> list[tuple[str, int | None]]:
    text = read_text(WHERE, path)
    try:
        labels = parsed_json(text)
    except ValueError as error:
        got, advice = str(error)[:80], "save it as JSON"
        raise ArgumentError(WHERE, str(path), "be JSON", got, advice) from error
    if not isinstance(labels, dict):
        requirement, advice = "be a JSON object", "write an object that maps paths to views"
        raise ArgumentError(WHERE, str(path), requirement, type(labels).__name__, advice)
    return [(name, _view(path, name, view)) for name, view in labels.items()]


def _view(path: Path, name: str, view: Any) -> int | None:
    if view is None or view == "":
        return None
    if not isinstance(view, str | int) or str(view) not in VIEWS:
        view_of, advice = f"{path}: the view of {short(name)}", "correct it, or leave it empty"
        raise ArgumentError(WHERE, view_of, f"be one of {', '.join(VIEWS)}", short(view), advice)
    return VIEWS[str(view)]


_READERS = {
    ".pkl": _from_pickle,
    ".csv": _from_csv,
    ".json": _from_json,
    ".txt": _from_key_points,
}
