"""The layout of SYSU-MM01: six cameras, four visible and two infrared, and their folders.

cam<1..6>/<identity, 4 digits>/<number, 4 digits>.jpg
exp/{train,val,test,available}_id.txt     one line of identities, separated by commas
"""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from reid_ext.synthetic.camera import Camera, draw_camera
from reid_ext.synthetic.person import draw_person
from reid_ext.synthetic.settings import Settings
from reid_ext.synthetic.yaw import frame_yaw, view_of

# Cameras 2 and 3 are at the same place, as in the real dataset.
INFRARED, OUTDOOR = {3, 6}, {4, 5, 6}
LOCATION = {1: 1, 2: 2, 3: 2, 4: 4, 5: 5, 6: 6}
SPLITS = ("train", "val", "test")

PRESETS = {
    "default": Settings(),
    "tiny": Settings((32, 8, 8), (3, 4), difficulty=0.3, occlusion=0.0),
}

# First keys of the persons of each split. The i-th person of a split is therefore the same for any
# number of persons in the other splits.
FIRST_KEY = {"train": 1, "val": 50_001, "test": 100_001}


class Task(NamedTuple):
    """One identity to render: the number of its folder, and the key of its seed."""

    identity: int
    key: int


def tasks(settings: Settings) -> list[Task]:
    """All identities: train, val and test, numbered from 1."""
    keys = [
        FIRST_KEY[split] + i
        for split, count in zip(SPLITS, settings.identities, strict=True)
        for i in range(count)
    ]
    return [Task(identity, key) for identity, key in enumerate(keys, start=1)]


def number_of_images(settings: Settings) -> int:
    visible, infrared = settings.images
    of_each = visible * (len(LOCATION) - len(INFRARED)) + infrared * len(INFRARED)
    return of_each * sum(settings.identities)


def check(settings: Settings) -> None:
    """Accept all settings."""


def prepare(folder: Path, settings: Settings) -> None:
    """Create the folders, and write the identity lists of the splits."""
    for name in ("exp", *(f"cam{number}" for number in LOCATION)):
        (folder / name).mkdir()
    everyone = list(range(1, sum(settings.identities) + 1))
    ends = np.cumsum(settings.identities).tolist()
    lists = {"available": everyone}
    for split, count, end in zip(SPLITS, settings.identities, ends, strict=True):
        lists[split] = everyone[end - count : end]
    for name, identities in lists.items():
        (folder / "exp" / f"{name}_id.txt").write_text(",".join(map(str, identities)) + "\n")


def render(folder: Path, settings: Settings, task: Task) -> dict[str, int]:
    """Write all images of one identity, and return the view of each path below ``folder``."""
    person = draw_person([settings.seed, task.key])
    views: dict[str, int] = {}
    for number, camera in _cameras(settings.seed, settings.difficulty).items():
        here = f"cam{number}/{task.identity:04d}"
        (folder / here).mkdir()
        rng = np.random.default_rng([settings.seed, 3, task.key, number])
        heading = rng.uniform(-math.pi, math.pi)
        for i in range(settings.images[1 if camera.infrared else 0]):
            yaw = frame_yaw(rng, heading)
            image = camera.photograph(person, rng, yaw=yaw, occlusion=settings.occlusion)
            path = f"{here}/{i + 1:04d}.jpg"
            _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg_quality])
            (folder / path).write_bytes(jpeg.tobytes())
            views[path] = view_of(yaw)
    return views


def finish(folder: Path, settings: Settings, paths: Sequence[str]) -> None:
    """Do nothing: ``prepare`` wrote the identity lists, and there are no lists of images."""


@functools.lru_cache(maxsize=2)
def _cameras(seed: int, difficulty: float) -> dict[int, Camera]:
    return {
        number: draw_camera(
            seed,
            number,
            infrared=number in INFRARED,
            outdoor=number in OUTDOOR,
            location=location,
            difficulty=difficulty,
        )
        for number, location in LOCATION.items()
    }
