"""View labels of the synthetic datasets: views.json maps the path below the root to the view."""

from pathlib import Path

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.data.readers.tree import parsed_json, short

VIEWS_FILE = "views.json"
_ADVICE = "restore the file, or delete it to load the images without views"


def read_views(root: Path) -> dict[str, int]:
    """Return the view of each image by its path below ``root``; empty if there is no views.json."""
    path = root / VIEWS_FILE
    if not path.is_file():
        return {}
    try:
        views = parsed_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        got = str(error)[:80]
        raise ArgumentError("data.load", str(path), "be JSON", got, _ADVICE) from error
    if not isinstance(views, dict):
        requirement = "be a JSON object that maps image paths to views"
        raise ArgumentError("data.load", str(path), requirement, type(views).__name__, _ADVICE)
    if odd := [name for name, view in views.items() if view not in (0, 1, 2)]:
        got = f"{short(views[odd[0]])} for {short(odd[0])}"
        raise ArgumentError("data.load", str(path), "hold only the views 0, 1 and 2", got, _ADVICE)
    return views
