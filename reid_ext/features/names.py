"""The names of columns in the files of this and of other programs."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

IDENTITIES = "identities"
# The names in files of this package come first. Names are compared without case.
NAMES = {
    "features": (
        *("features", "feature", "feat", "feats", "f"),
        *("embeddings", "embedding", "embs", "emb", "vectors", "vector"),
    ),
    IDENTITIES: (
        *("identities", "identity", "ids", "id", "pids", "pid", "labels", "label"),
        *("person_ids", "person_id", "persons", "person", "targets", "target"),
    ),
    "cameras": (
        *("cameras", "camera", "cams", "cam", "camids", "camid"),
        *("camera_ids", "camera_id", "cam_ids", "cam_id"),
    ),
    "views": ("views", "view"),
    "paths": ("paths", "path", "files", "file", "filenames", "filename"),
    "modalities": ("modalities", "modality"),
}
OF_LABELS = {name: NAMES[name] for name in (IDENTITIES, "cameras")}
_NUMBERED = re.compile(r"(.*?)(\d+)")


def is_features(name: str) -> bool:
    """Return whether a column of this name holds features."""
    return name.lower() in NAMES["features"]


def feature_columns(names: Iterable[str]) -> list[str]:
    """Return the columns of a table that hold one dimension each, in order.

    They share a prefix and end in consecutive numbers from 0 or 1: ``f0, f1, …``, ``dim_1, …`` or
    ``0, 1, …``. The result is empty if no such columns, or several groups of them, exist.
    """
    groups: dict[str, dict[int, str]] = {}
    for name in names:
        if found := _NUMBERED.fullmatch(name):
            groups.setdefault(found[1], {})[int(found[2])] = name
    whole = [
        [group[number] for number in sorted(group)]
        for group in groups.values()
        if len(group) > 1
        and sorted(group)
        in (
            list(range(len(group))),
            list(range(1, len(group) + 1)),
        )
    ]
    return whole[0] if len(whole) == 1 else []


def misnamed(name: str, columns: Mapping[str, Any]) -> str | None:
    """Return the column of labels that ``name`` looks like, if that column is missing."""
    for column, words in OF_LABELS.items():
        if columns.get(column) is None and name != column:
            close = difflib.get_close_matches(name.lower(), [column], 1, 0.85)
            if name.lower() in words or close:
                return column
    return None
