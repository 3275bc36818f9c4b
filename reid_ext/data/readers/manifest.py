"""Your own images in one list: a CSV file with a header, or a JSON file with a list of objects.

    path,split,identity,camera,view,modality
    images/0001.jpg,train,anna,1,front,visible

Paths are relative to the folder of the list, or absolute. ``camera``, ``view`` and ``modality`` are
optional: a column may be missing, or empty in some rows. Other columns are ignored, unless they
look like a misspelt name of a missing column. CSV files may use commas, semicolons or tabs, UTF-8
or UTF-16, and names of columns in any case.
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reid_ext._runtime.arguments import ArgumentError, choice
from reid_ext._runtime.labels import numbers_of, whole_number
from reid_ext._runtime.spreadsheet import read_table, read_text
from reid_ext.data.readers.expected import UNKNOWN, Expected
from reid_ext.data.readers.hold_out import (
    EVALUATED,
    NOBODY,
    divided_by_person,
    hold_out,
    hold_out_by_modality,
)
from reid_ext.data.readers.tree import parsed_json, short, some
from reid_ext.data.sample import INFRARED, VISIBLE, Dataset, Sample

NAME = "manifest"
SPLITS = ("train", "query", "gallery")
REQUIRED = ("path", "split", "identity")
OPTIONAL = {  # and what other programs call them
    "camera": ("cam", "cams", "camid", "cam_id", "camera_id", "cameras"),
    "view": ("views", "viewpoint"),
    "modality": ("modalities",),
}
VIEWS = {"": None, "0": 0, "1": 1, "2": 2, "front": 0, "side": 1, "back": 2}
MODALITIES = {"": VISIBLE, "0": VISIBLE, "1": INFRARED, "visible": VISIBLE, "infrared": INFRARED}
LONGEST_NAME = 80  # characters of a camera
CAMERAS: tuple[int, ...] = ()  # any cameras


def read(root: str | Path, evaluate_on: str = "test") -> Dataset:
    """Read the samples of a list.

    Args:
        root: The list: a .csv or .json file.
        evaluate_on: If ``"test"``, return the rows of the splits query and gallery. If ``"val"``,
            hold out the last sixth of the identities of split train for validation. Default:
            ``"test"``.

    Returns:
        Samples in the order of the list. If all identities are different numbers, they are kept.
        Otherwise the names are numbered from 1 in sorted order, except that ``-1`` stays junk and
        ``0`` stays a distractor, and ``Sample.label`` has the name. Cameras likewise. A missing
        camera is 0, a missing modality is visible, and a missing view is None. Split train may have
        no rows. Junk and distractors of train are left out, see ``Dataset.left_out``.

    Raises:
        FileNotFoundError: The file does not exist.
        ArgumentError: The file has another format, a row is invalid (the error has its number), a
            split has no rows, or there are fewer than 12 identities to hold out from.
    """
    choice(NAME, "evaluate_on", evaluate_on, EVALUATED)
    path = Path(root)
    rows = _rows(path)
    for row, values in enumerate(rows, start=1):
        _check(path, row, values)
    identities = numbers_of(_text(values, "identity") for values in rows)
    cameras = numbers_of(_text(values, "camera") or "0" for values in rows).of
    samples: dict[str, list[Sample]] = {split: [] for split in SPLITS}
    for values in rows:
        name = _text(values, "identity")
        sample = Sample(
            path.parent / _text(values, "path"),
            identities.of[name],
            cameras[_text(values, "camera") or "0"],
            VIEWS[_text(values, "view")],
            MODALITIES[_text(values, "modality")],
            name * identities.renumbered,
        )
        samples[_text(values, "split")].append(sample)
    train, nobody = divided_by_person(NAME, f"the rows of train in {path}", samples["train"])
    if evaluate_on == "val":
        both = len({s.modality for s in train}) == 2
        held_out = hold_out_by_modality(NAME, train) if both else hold_out(NAME, train)
        return held_out.without(NOBODY, nobody)
    if missing := [split for split in SPLITS[1:] if not samples[split]]:
        requirement = f"have rows of the splits {' and '.join(SPLITS[1:])}"
        got, advice = f"no row of {some(missing)}", "add rows, or use evaluate_on='val'"
        raise ArgumentError(NAME, str(path), requirement, got, advice)
    return Dataset(NAME, train, samples["query"], samples["gallery"]).without(NOBODY, nobody)


def expected() -> Expected:
    """No published counts."""
    return UNKNOWN


def _rows(path: Path) -> Sequence[Mapping[str, Any]]:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(
            f"{NAME}: root must be a .csv or .json file, got {path}, which {what}"
        )
    if path.suffix.lower() == ".json":
        rows = _json_rows(path, read_text(NAME, path))
    elif path.suffix.lower() in (".csv", ".tsv", ".txt"):
        rows = _csv_rows(path)
    else:
        advice = "save the list in one of these formats"
        raise ArgumentError(NAME, "root", "be a .csv or .json file of images", str(path), advice)
    _check_names(path, {str(name) for row in rows for name in row})
    if not rows:
        advice = "add a row for each image"
        raise ArgumentError(NAME, str(path), "have rows", "no rows", advice)
    return rows


def _csv_rows(path: Path) -> Sequence[Mapping[str, Any]]:
    columns = read_table(NAME, path, REQUIRED)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _check_names(path: Path, names: set[str]) -> None:
    """Raise ArgumentError for a column that looks like a misspelt name of a missing column."""
    for missing in set(OPTIONAL) - names:
        for name in sorted(names - set(OPTIONAL) - set(REQUIRED)):
            word = name.strip().lower()
            if word in OPTIONAL[missing] or difflib.get_close_matches(word, [missing], 1, 0.75):
                got = f"the column {name!r} and no column {missing!r}"
                requirement = f"name its {missing} column {missing!r}"
                raise ArgumentError(NAME, str(path), requirement, got, "rename or remove it")


def _json_rows(path: Path, text: str) -> Sequence[Mapping[str, Any]]:
    try:
        rows = parsed_json(text)
    except ValueError as error:
        got, advice = str(error)[:80], "save it as JSON"
        raise ArgumentError(NAME, str(path), "be JSON", got, advice) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        got, advice = short(rows), "write one object for each image, in brackets"
        raise ArgumentError(NAME, str(path), "be a JSON list of objects", got, advice)
    return [{name.strip().lower(): value for name, value in row.items()} for row in rows]


def _check(path: Path, row: int, values: Mapping[str, Any]) -> None:
    """Raise ArgumentError unless the row has all required fields and valid values."""
    place = f"row {row} of {path}"
    if missing := [name for name in REQUIRED if not _text(values, name)]:
        got, advice = f"no {', '.join(missing)}", "fill in the missing columns"
        raise ArgumentError(NAME, place, f"have {', '.join(REQUIRED)}", got, advice)
    camera = whole_number(_text(values, "camera"))
    if (camera is not None and camera < 0) or len(_text(values, "camera")) > LONGEST_NAME:
        requirement, advice = "have an integer >= 0 or a name as camera", "number the cameras"
        raise ArgumentError(NAME, place, requirement, short(_text(values, "camera")), advice)
    known = [values.get(name) for name in (*REQUIRED, *OPTIONAL)]
    if odd := [value for value in known if isinstance(value, list | dict | bool)]:
        raise ArgumentError(NAME, place, "have texts and numbers only", short(odd[0]))
    allowed = {"split": SPLITS, "view": tuple(VIEWS)[1:], "modality": tuple(MODALITIES)[1:]}
    for name, choices in allowed.items():
        value = _text(values, name)
        if value and value not in choices:
            requirement = f"have a {name} among {', '.join(choices)}"
            advice = "correct it" if name == "split" else "correct it, or leave it empty"
            raise ArgumentError(NAME, place, requirement, short(value), advice)


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    text = "" if value is None else str(value).strip()
    return text.lower() if name in ("split", "view", "modality") else text
