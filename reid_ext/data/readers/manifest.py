"""Your own images in one list: a CSV file with a header, or a JSON file with a list of objects.

    path,split,identity,camera,view,modality
    images/0001.jpg,train,anna,1,front,visible

Paths are relative to the folder of the list, or absolute. ``camera``, ``view`` and ``modality`` are
optional: a column may be missing, or empty in some rows. Other columns are ignored.
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
CAMERAS: tuple[int, ...] = ()  # any cameras


def read(root: str | Path, evaluate_on: str = "test") -> Dataset:
    """Read the samples of a list.

    Args:
        root: The list: a .csv or .json file in UTF-8.
        evaluate_on: If ``"test"``, return the rows of the splits query and gallery. If ``"val"``,
            hold out the last sixth of the identities of split train for validation. Default:
            ``"test"``.

    Returns:
        Samples in the order of the list. If all identities are numbers, they are kept. Otherwise an
        identity is the position, from 0, in the sorted list of all names. A missing camera is 0, a
        missing modality is visible, and a missing view is None.

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
        requirement = f"have rows of the splits {', '.join(SPLITS)}"
        got, advice = f"no row of {some(missing)}", "add rows, or use evaluate_on='val'"
        raise ArgumentError(NAME, str(path), requirement, got, advice)
    return Dataset(NAME, *(samples[split] for split in SPLITS))


def expected() -> Expected:
    """No published counts."""
    return UNKNOWN


def _rows(path: Path) -> Sequence[Mapping[str, Any]]:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(
            f"{NAME}: root must be a .csv or .json file, got {path}, which {what}"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        got, advice = str(error)[:80], "save it in UTF-8"
        raise ArgumentError(NAME, str(path), "be UTF-8", got, advice) from error
    if path.suffix.lower() == ".json":
        rows = _json_rows(path, text)
    elif path.suffix.lower() == ".csv":
        rows = _csv_rows(path, text)
    else:
        raise ArgumentError(NAME, "root", "end in .csv or .json", str(path), "rename the file")
    if not rows:
        advice = "add a row for each image"
        raise ArgumentError(NAME, str(path), "have rows", "no rows", advice)
    return rows


def _csv_rows(path: Path, text: str) -> Sequence[Mapping[str, Any]]:
    try:
        return csv_rows(text.splitlines())[0]
    except ValueError as error:
        got, advice = str(error)[:80], "save it as CSV"
        raise ArgumentError(NAME, str(path), "be CSV", got, advice) from error


def _json_rows(path: Path, text: str) -> Sequence[Mapping[str, Any]]:
    try:
        rows = parsed_json(text)
    except ValueError as error:
        got, advice = str(error)[:80], "save it as JSON"
        raise ArgumentError(NAME, str(path), "be JSON", got, advice) from error
    if odd := [r for r in (rows if isinstance(rows, list) else [rows]) if not isinstance(r, dict)]:
        raise _not_objects(path, f"an element {short(odd[0])}")
    if not isinstance(rows, list):
        raise _not_objects(path, "a single object")
    return rows


def _not_objects(path: Path, got: str) -> ArgumentError:
    advice = "write one object for each image, in brackets"
    return ArgumentError(NAME, str(path), "be a JSON list of objects", got, advice)


def _check(path: Path, row: int, values: Mapping[str, Any]) -> None:
    """Raise ArgumentError unless the row has all required fields and valid values."""
    place = f"row {row} of {path}"
    if missing := [name for name in REQUIRED if not _text(values, name)]:
        got, advice = f"no {', '.join(missing)}", "fill in the missing columns"
        raise ArgumentError(NAME, place, f"have {', '.join(REQUIRED)}", got, advice)
    camera = _text(values, "camera")
    if camera and not is_whole_number(camera):
        requirement, advice = "have an integer >= 0 as camera", "number the cameras"
        raise ArgumentError(NAME, place, requirement, short(camera), advice)
    allowed = {"split": SPLITS, "view": tuple(VIEWS)[1:], "modality": tuple(MODALITIES)[1:]}
    for name, choices in allowed.items():
        value = _text(values, name)
        if value and value not in choices:
            requirement = f"have a {name} among {', '.join(choices)}"
            advice = "correct it" if name == "split" else "correct it, or leave it empty"
            raise ArgumentError(NAME, place, requirement, short(value), advice)


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
