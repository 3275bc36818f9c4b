"""View labels of the embedded data sets: views.json, from path below the root to view."""

from pathlib import Path

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.data.readers.tree import parsed_json

VIEWS_FILE = "views.json"


def read_views(root: Path) -> dict[str, int]:
    """Return the view of each image by its path below ``root``; empty without such a file."""
    path = root / VIEWS_FILE
    if not path.is_file():
        return {}
    try:
        views = parsed_json(path.read_text())
        whole = all(v in (0, 1, 2) for v in views.values())
    except (ValueError, AttributeError) as error:
        requirement = "be a JSON object of views"
        raise ArgumentError("data.load", str(path), requirement, str(error), "delete it") from error
    if not whole:
        raise ArgumentError("data.load", str(path), "hold only 0, 1 and 2", "others", "delete it")
    return views
