"""What the readers share: folders, lists and MATLAB files, and the errors about them."""

import csv
import json
import os
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from reid_ext._runtime.arguments import ArgumentError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
UNREAD_SUFFIXES = (".webp", ".tif", ".tiff", ".gif", ".heic", ".avif", ".jfif")
LONGEST_PATH = 4096  # PATH_MAX of Linux
MOST_DIGITS = 18  # of a number that fits int64
_shortened = reprlib.Repr()
_shortened.maxlevel = 3
_shortened.maxstring = _shortened.maxother = 80


def check_folders(name: str, root: Path, folders: Sequence[str]) -> None:
    """FileNotFoundError unless ``root`` is a folder with all ``folders`` in it."""
    if not root.is_dir():
        raise FileNotFoundError(
            f"{name}: root must be the folder of the dataset, got {root}, which is not a folder"
        )
    if missing := [folder for folder in folders if not (root / folder).is_dir()]:
        raise FileNotFoundError(
            f"{name}: root must hold the folders {', '.join(folders)}, got {root} without "
            f"{', '.join(missing)}; give the folder in which the archive was unpacked"
        )


def is_image(file_name: str) -> bool:
    """Whether it is named like an image; Thumbs.db and macOS's ``._x.jpg`` are not."""
    return file_name.lower().endswith(IMAGE_SUFFIXES) and not file_name.startswith(".")


def is_unread_image(file_name: str) -> bool:
    """Whether it is named like an image of a kind that no reader takes."""
    return file_name.lower().endswith(UNREAD_SUFFIXES) and not file_name.startswith(".")


def image_names(folder: Path) -> list[str]:
    """The sorted names of the images in a folder."""
    return sorted(name for name in os.listdir(folder) if is_image(name))


def read_list(name: str, path: Path) -> Iterator[tuple[str, int]]:
    """Yield image path and label of each line "path label" of a list; skip empty lines.

    Raises:
        FileNotFoundError: there is no such list.
        ArgumentError: a line of another form, or with a path out of the list's folder (the error
            gives its number), or a list without lines.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{name}: {path.parent} must hold the list {path.name}, got none; copy the lists of "
            "the dataset"
        )
    empty = True
    for number, words in read_words(path):
        empty = False
        if len(words) != 2 or not (is_whole_number(words[1]) and _is_below(words[0])):
            got = f"{short(' '.join(words))} in line {number}"
            requirement = "have lines like 'folder/image.jpg 12' with paths below the dataset"
            advice = "restore the list of the dataset"
            raise ArgumentError(name, str(path), requirement, got, advice)
        yield words[0], int(words[1])
    if empty:
        raise ArgumentError(name, str(path), "list images", "an empty file", "copy it again")


def read_numbers(name: str, path: Path) -> list[int]:
    """Read the identities of a text file, separated by commas, each once and ascending."""
    words = path.read_text(encoding="utf-8-sig", errors="replace").replace(",", " ").split()
    if odd := [word for word in words if not is_whole_number(word)]:
        requirement = "hold identities separated by commas"
        raise ArgumentError(name, str(path), requirement, short(odd[0]), "restore the file")
    return sorted({int(word) for word in words})


def read_mat(name: str, path: Path) -> dict[str, np.ndarray]:
    """Read the variables of a .mat file of version 5.

    Raises:
        ArgumentError: the file is not of this version, or damaged.
        ImportError: scipy is not installed.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(
            f"{name}: reading {path} needs scipy, which is not installed; "
            "pip install 'reid_ext[mat]'"
        ) from error
    try:
        content = loadmat(path)
    except Exception as error:  # scipy has no common error for content it cannot read
        got = f"one that does not read ({error})"
        requirement = "be a .mat file of version 5"
        raise ArgumentError(name, str(path), requirement, got, "copy it again") from error
    return {key: value for key, value in content.items() if not key.startswith("__")}


def read_words(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number, from 1, and the words of each line of a text file that has any."""
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if words := line.split():
            yield number, words


def _is_below(path: str) -> bool:
    """Whether it leads nowhere but into the folder that it is relative to."""
    pure = PurePath(path)
    leads_out = pure.is_absolute() or ".." in pure.parts
    return not leads_out and "\0" not in path and len(path) <= LONGEST_PATH


def is_whole_number(text: str) -> bool:
    """Whether these are digits alone, and few enough for int64."""
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def parsed_json(text: str) -> Any:
    """The value of a JSON text; ValueError for any that has none, too deep a one among them."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("brackets within brackets, too many to read") from None


def csv_rows(lines: Iterable[str]) -> tuple[list[dict[str, Any]], Sequence[str]]:
    """The rows of a CSV text with a header, and its columns; ValueError for one without form."""
    reader = csv.DictReader(lines)
    try:
        return list(reader), reader.fieldnames or ()
    except csv.Error as error:
        raise ValueError(str(error)) from error


def short(value: object) -> str:
    """A value of a file for an error: of a long or deep one only the start."""
    return _shortened.repr(value)


def numbered(names: Iterable[str]) -> dict[str, int]:
    """The number of each identity's name: itself where all are numbers, else its sorted place."""
    unique = sorted(set(names))
    if all(map(is_whole_number, unique)):
        return {name: int(name) for name in unique}
    return {name: place for place, name in enumerate(unique)}


def some(values: Iterable[object], few: int = 5) -> str:
    """The first few of them, in words."""
    words = [str(value) for value in values]
    more = f" and {len(words) - few} more" if len(words) > few else ""
    return ", ".join(words[:few]) + more
