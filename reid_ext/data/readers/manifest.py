"""Anybody's images in one list: a CSV file with a header, or a JSON file with a list of objects.

    path,split,identity,camera,view,modality
    images/0001.jpg,train,anna,1,front,visible

Paths are below the list's own folder, or absolute. ``camera``, ``view`` and ``modality`` may be
left out, in a row or altogether; other columns are not looked at.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reid_ext._runtime.arguments import ArgumentError, choice
from reid_ext.data.readers.expected import UNKNOWN, Expected
from reid_ext.data.readers.hold_out import EVALUATED, hold_out, hold_out_by_modality
from reid_ext.data.readers.tree import csv_rows, is_whole_number, numbered, parsed_json, short, some
from reid_ext.data.sample import INFRARED, VISIBLE, Dataset, Sample

NAME = "manifest"
SPLITS = ("train", "query", "gallery")
REQUIRED = ("path", "split", "identity")
VIEWS = {"": None, "0": 0, "1": 1, "2": 2, "front": 0, "side": 1, "back": 2}
MODALITIES = {"": VISIBLE, "0": VISIBLE, "1": INFRARED, "visible": VISIBLE, "infrared": INFRARED}
CAMERAS: tuple[int, ...] = ()  # whichever there are


def read(root: str | Path, evaluate_on: str = "test") -> Dataset:
    """Read the samples that a list names.

    Args:
        root: The list itself: a file that ends in .csv or .json, UTF-8.
        evaluate_on: ``"test"``: the rows of split query and gallery. ``"val"``: the last sixth of
            the identities of split train, which are then not trained on.

    Returns:
        Samples in the order of the list. Identities are numbers where all of them are, else their
        places, from 0, in the sorted list of all names. No camera is camera 0; no modality is
        visible; no view is None.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a file of another form, a row that cannot be read, by its number, a split
            without rows, or too few identities to hold out.
    """
    choice(NAME, "evaluate_on", evaluate_on, EVALUATED)
    path = Path(root)
    rows = _rows(path)
    for row, values in enumerate(rows, start=1):
        _check(path, row, values)
    number = numbered(_text(values, "identity") for values in rows)
    samples: dict[str, list[Sample]] = {split: [] for split in SPLITS}
    for values in rows:
        identity = number[_text(values, "identity")]
        samples[_text(values, "split")].append(_sample(path.parent, identity, values))
    train = samples["train"]
    if evaluate_on == "val":
        both = len({s.modality for s in train}) == 2
        return hold_out_by_modality(NAME, train) if both else hold_out(NAME, train)
    if missing := [split for split in SPLITS if not samples[split]]:
        raise ArgumentError(NAME, str(path), f"have rows of split {some(missing)}", "none")
    return Dataset(NAME, *(samples[split] for split in SPLITS))


def expected() -> Expected:
    """Nobody publishes how much of it there is."""
    return UNKNOWN


def _rows(path: Path) -> Sequence[Mapping[str, Any]]:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "which is not there"
        raise FileNotFoundError(f"{NAME}: root must be a .csv or .json file, got {path}, {what}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ArgumentError(NAME, str(path), "be UTF-8", str(error), "save it as UTF-8") from error
    if path.suffix.lower() == ".json":
        rows = _json_rows(path, text)
    elif path.suffix.lower() == ".csv":
        rows = _csv_rows(path, text)
    else:
        raise ArgumentError(NAME, "root", "end in .csv or .json", str(path))
    if not rows:
        raise ArgumentError(NAME, str(path), "have rows", "none")
    return rows


def _csv_rows(path: Path, text: str) -> Sequence[Mapping[str, Any]]:
    try:
        return csv_rows(text.splitlines())[0]
    except ValueError as error:
        raise ArgumentError(NAME, str(path), "be CSV", str(error)) from error


def _json_rows(path: Path, text: str) -> Sequence[Mapping[str, Any]]:
    try:
        rows = parsed_json(text)
    except ValueError as error:
        raise ArgumentError(NAME, str(path), "be JSON", str(error)) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ArgumentError(NAME, str(path), "be a list of objects", "another form")
    return rows


def _check(path: Path, row: int, values: Mapping[str, Any]) -> None:
    """ArgumentError unless the row has the required fields, and valid values in all fields."""
    place = f"row {row} of {path}"
    if missing := [name for name in REQUIRED if not _text(values, name)]:
        got = f"no {', '.join(missing)}"
        raise ArgumentError(NAME, place, f"have {', '.join(REQUIRED)}", got)
    camera = _text(values, "camera")
    if camera and not is_whole_number(camera):
        raise ArgumentError(NAME, place, "have a whole number as camera", short(camera))
    allowed = {"split": SPLITS, "view": tuple(VIEWS)[1:], "modality": tuple(MODALITIES)[1:]}
    for name, choices in allowed.items():
        value = _text(values, name)
        if value and value not in choices:
            requirement = f"have {name} {' or '.join(choices)}"
            raise ArgumentError(NAME, place, requirement, short(value))


def _sample(folder: Path, identity: int, values: Mapping[str, Any]) -> Sample:
    return Sample(
        folder / _text(values, "path"),
        identity,
        int(_text(values, "camera") or 0),
        VIEWS[_text(values, "view")],
        MODALITIES[_text(values, "modality")],
    )


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return "" if value is None else str(value).strip()
