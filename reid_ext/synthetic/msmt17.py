"""The layout of MSMT17, version 1: fifteen visible cameras, a folder per identity, and four lists.

Both train and test count their identities from 0, as in the real lists. One eighth of the images of
a training identity is in list_val.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from reid_ext.data import msmt17 as reader
from reid_ext.synthetic.settings import Settings
from reid_ext.synthetic.visible import (
    KEY,
    Shot,
    Task,
    VisibleLayout,
    by_identity,
    cameras_that_see,
)

FIRST_KEY = 1_000_000
SEEN_BY = 6  # number of cameras that see a person
TRAIN, TEST = reader.FOLDERS[0]
FOLDERS = (TRAIN, TEST, TEST)
INDOOR = {13, 14, 15}
TIMES = ("0303morning", "0303noon", "0303afternoon")
ONE_IN_VAL = 8

PRESETS = {
    "default": Settings((40, 0, 80), (2, 1), difficulty=2.0, occlusion=0.3),
    "tiny": Settings((24, 0, 12), (2, 1), difficulty=0.5, occlusion=0.0),
}


def people(settings: Settings) -> list[Task]:
    """The training and test identities, each seen by some of the cameras."""
    (train, _, test), (images, queries) = settings.identities, settings.images
    found = []
    for i in range(train):
        key = FIRST_KEY + KEY["train"] + i
        cameras = cameras_that_see(settings, key, reader.CAMERAS, SEEN_BY)
        found.append(Task(i, key, cameras, FOLDERS, train=images))
    for i in range(test):
        key = FIRST_KEY + KEY["test"] + i
        cameras = cameras_that_see(settings, key, reader.CAMERAS, SEEN_BY)
        found.append(Task(i, key, cameras, FOLDERS, gallery=images, query=queries))
    return found


def file_name(shot: Shot) -> str:
    identity, time = f"{shot.identity:04d}", TIMES[shot.camera % len(TIMES)]
    rest = f"{shot.number:03d}_{shot.camera:02d}_{time}_{shot.frame % 10_000:04d}_{shot.box}"
    return f"{identity}/{identity}_{rest}.jpg"


def write_lists(folder: Path, settings: Settings, paths: Sequence[str]) -> None:
    lists: dict[str, list[str]] = {"train": [], "val": [], "query": [], "gallery": []}
    for images in by_identity(paths, re.compile(rf"{TRAIN}/(\d+)/")).values():
        kept = len(images) - len(images) // ONE_IN_VAL
        lists["train"] += images[:kept]
        lists["val"] += images[kept:]
    for path in paths:
        if path.startswith(f"{TEST}/"):
            lists["query" if path.endswith("_0.jpg") else "gallery"].append(path)
    for name, images in lists.items():
        below = [path.split("/", 1)[1] for path in images]
        lines = [f"{path} {int(path.split('/')[0])}\n" for path in below]
        (folder / f"list_{name}.txt").write_text("".join(lines))


LAYOUT = VisibleLayout(
    *("msmt17", PRESETS, people, file_name, (TRAIN, TEST)),
    stream=60,
    first_camera=60,
    outdoor=frozenset(reader.CAMERAS) - INDOOR,
    write_lists=write_lists,
)
