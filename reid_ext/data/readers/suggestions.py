"""What the user may have meant by a folder that a reader cannot read."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.data.readers.tree import is_system
from reid_ext.data.sample import Dataset

Readers: TypeAlias = Mapping[str, Callable[..., Dataset]]

MOST_FOLDERS = 50  # that are tried, at each level
LISTS = (".csv", ".json", ".tsv")


def with_suggestion(
    error: FileNotFoundError | ArgumentError,
    name: str,
    root: Path,
    split: Mapping[str, str | int],
    readers: Readers,
) -> FileNotFoundError | ArgumentError:
    """Return the error with the folder or the dataset that would be read without an error.

    A folder one or two levels below, or one level above, may be the root; or another reader may
    read the folder. The file lists are read, and no image is opened.
    """
    advice = _suggestion(name, root, split, readers)
    if not advice:
        return error
    if isinstance(error, ArgumentError):
        place, got = error.argument, error.value
        return ArgumentError(error.function, place, error.requirement, got, advice)
    return FileNotFoundError(f"{str(error).rsplit('; ', 1)[0]}; {advice}")


def _suggestion(name: str, root: Path, split: Mapping[str, str | int], readers: Readers) -> str:
    for place in _near(root):
        if _reads(readers[name], place, split):
            return f"did you mean {place}?"
    for other, reader in readers.items():
        if other != name and _reads(reader, root, {}):
            return f"this looks like {other}: did you mean {other} {root}?"
    return ""


def _near(root: Path) -> Iterator[Path]:
    """The folders and lists one and two levels below, and the folder above."""
    below = list(_inside(root))
    yield from below
    for folder in below:
        yield from _inside(folder)
    if root.exists():
        yield root.absolute().parent


def _inside(folder: Path) -> Iterator[Path]:
    try:
        paths = [path for path in sorted(folder.iterdir()) if not is_system(path.name)]
    except OSError:  # not a folder, or one that cannot be opened
        return
    found = (path for path in paths if path.suffix.lower() in LISTS or path.is_dir())
    yield from islice(found, MOST_FOLDERS)


def _reads(reader: Callable[..., Dataset], root: Path, split: Mapping[str, str | int]) -> bool:
    try:
        reader(root, **split)
    except (OSError, ValueError, ImportError):
        return False
    return True
