"""The view labels that ``--views`` of a training script names."""

from pathlib import Path

from reid_ext import data

_ARGUMENT = "read_view_labels: path"


def read_views_flag(path: Path) -> dict[str, int]:
    """:func:`reid_ext.data.read_view_labels`, whose errors then name the flag."""
    try:
        return data.read_view_labels(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(_named(error)) from error
    except ValueError as error:
        raise ValueError(_named(error)) from error


def _named(error: Exception) -> str:
    text = str(error)
    if text.startswith(_ARGUMENT):
        return f"--views{text.removeprefix(_ARGUMENT)}"
    return f"--views: {text}"
