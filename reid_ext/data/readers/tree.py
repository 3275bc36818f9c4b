"""Shared functions of the readers: folders, lists and MATLAB files, and their errors."""

import json
import os
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from reid_ext._runtime.arguments import ArgumentError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
UNREAD_SUFFIXES = (".webp", ".tif", ".tiff", ".gif", ".heic", ".avif", ".jfif")
SYSTEM_FOLDERS = ("__macosx", "lost+found", "system volume information", "thumbnails")
LONGEST_PATH = 4096  # PATH_MAX of Linux
MOST_DIGITS = 18  # of a number that always fits int64
_shortened = reprlib.Repr()
_shortened.maxlevel = 3
_shortened.maxstring = _shortened.maxother = 80


def check_folders(name: str, root: Path, folders: Sequence[str]) -> None:
    """Raise FileNotFoundError unless ``root`` is a folder that contains all ``folders``."""
    if not root.is_dir():
        raise FileNotFoundError(
            f"{name}: root must be the folder of the dataset, got {root}, which "
            f"{'is a file' if root.exists() else 'does not exist'}; check the path"
        )
    if missing := [folder for folder in folders if not (root / folder).is_dir()]:
        advice = "give the folder that contains them, or unpack the archive again"
        lower = {path.name.lower(): path.name for path in root.iterdir() if path.is_dir()}
        if renamed := [f"{lower[f.lower()]} to {f}" for f in missing if f.lower() in lower]:
            advice = f"rename {some(renamed)}"
        raise FileNotFoundError(
            f"{name}: root must hold the folders {', '.join(folders)}, got {root} without "
            f"{', '.join(missing)}; {advice}"
        )


def is_image(file_name: str) -> bool:
    """Whether the name is that of an image; hidden files such as macOS's ``._x.jpg`` are not."""
    return file_name.lower().endswith(IMAGE_SUFFIXES) and not file_name.startswith(".")


def image_names(folder: Path) -> list[str]:
    """The sorted names of the images in a folder."""
    return sorted(name for name in os.listdir(folder) if is_image(name))


def read_list(
    name: str, path: Path, example: str = "folder/image.jpg 12"
) -> Iterator[tuple[str, int]]:
    """Yield the image path and the label of each line "path label" of a list; skip empty lines.

    ``example`` is a valid line, for the error.

    Raises:
        FileNotFoundError: The list does not exist.
        ArgumentError: A line has another form, a path leads out of the folder of the dataset, or
            the list is empty. The error has the line number.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{name}: {path.parent} must hold the list {path.name}, got a folder without it; copy "
            "the lists of the dataset again"
        )
    empty = True
    for number, words in read_words(path):
        empty = False
        if len(words) != 2 or not (is_whole_number(words[1]) and _is_below(words[0])):
            got = f"{short(' '.join(words))} in line {number}"
            requirement = f"have lines like {example!r} with paths in the dataset folder"
            advice = "restore the list of the dataset"
            raise ArgumentError(name, str(path), requirement, got, advice)
        yield words[0].replace("\\", "/"), int(words[1])
    if empty:
        requirement, advice = "list at least one image", "copy the file again"
        raise ArgumentError(name, str(path), requirement, "an empty file", advice)


def read_numbers(name: str, path: Path) -> list[int]:
    """Read the comma-separated identities of a text file, sorted and without duplicates."""
    words = path.read_text(encoding="utf-8-sig", errors="replace").replace(",", " ").split()
    if odd := [word for word in words if not is_whole_number(word)]:
        requirement = "hold identities separated by commas"
        raise ArgumentError(name, str(path), requirement, short(odd[0]), "restore the file")
    return sorted({int(word) for word in words})


def read_words(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number, from 1, and the words of each non-empty line of a text file."""
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if words := line.split():
            yield number, words


def _is_below(path: str) -> bool:
    """Whether a relative path stays inside its folder."""
    pure = PurePath(path)
    leads_out = pure.is_absolute() or ".." in pure.parts
    return not leads_out and "\0" not in path and len(path) <= LONGEST_PATH


def is_whole_number(text: str) -> bool:
    """Whether the text consists of digits only and fits int64."""
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def parsed_json(text: str) -> Any:
    """The value of a JSON text; ValueError for invalid JSON, or for too many nested brackets."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("too many nested brackets") from None


def short(value: object) -> str:
    """A value of a file for an error message; long or nested values are shortened."""
    return _shortened.repr(value)


def is_system(folder_name: str) -> bool:
    """Return whether a folder belongs to an operating system, a NAS or an archive program."""
    return folder_name.startswith((".", "@", "$")) or folder_name.lower() in SYSTEM_FOLDERS


def some(values: Iterable[object], few: int = 5) -> str:
    """The first few values, in words."""
    words = [str(value) for value in values]
    more = f" and {len(words) - few} more" if len(words) > few else ""
    return ", ".join(words[:few]) + more
