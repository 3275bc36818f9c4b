"""Market-1501's layout: six visible cameras, one folder of images each to train, find and search.

bounding_box_train, query, bounding_box_test/<identity, 4 digits>_c<camera>s1_<frame>_<box>.jpg

The persons to test on have one query per camera. Among their gallery are people nobody looks for
(identity 0000) and boxes that cut a person in half (-1), as a detector makes them.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from reid_ext.data.synthetic.camera import HEIGHT, WIDTH, Camera, draw_camera
from reid_ext.data.synthetic.palette import FEW_CLOTHS
from reid_ext.data.synthetic.person import draw_person
from reid_ext.data.synthetic.settings import Settings
from reid_ext.data.synthetic.views import yaw_of

CAMERAS = range(1, 7)
OUTDOOR = {4, 5, 6}
TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
FOLDERS = (TRAIN, QUERY, GALLERY)
FIRST_IDENTITY = 2  # 0 and -1 are nobody, and the real data set starts here too
DISTRACTOR, JUNK = 0, -1
DISTRACTORS_PER_JUNK = 4
FRAMES_APART = 25

# Keys of the persons, so that one does not depend on how many others there are.
FIRST_KEY = {"train": 300_001, "test": 350_001, "distractor": 400_001, "junk": 450_001}

PRESETS = {
    # Few colours, hard cameras and few images: with more of these or less, all losses do well.
    "default": Settings((40, 0, 80), (2, 30), difficulty=2.0, occlusion=0.3),
    "tiny": Settings((24, 0, 12), (2, 4), difficulty=0.5, occlusion=0.0),
}


class Task(NamedTuple):
    """One person to photograph: what to call it, the key that seeds it, and images per camera."""

    identity: int
    key: int
    train: int
    gallery: int
    query: int


def check(settings: Settings) -> None:
    _, val, _ = settings.identities
    if val:
        raise ValueError(
            f"synthesize: identities must have 0 persons to validate on for 'market1501', got "
            f"{settings.identities}; its reader holds out training identities for that"
        )


def tasks(settings: Settings) -> list[Task]:
    """The persons to train on, those to test on, distractors, and those cut by their box."""
    (train, _, test), (images, distractors) = settings.identities, settings.images
    identity = FIRST_IDENTITY
    found = []
    for i in range(train):
        found.append(Task(identity + i, FIRST_KEY["train"] + i, images, 0, 0))
    for i in range(test):
        found.append(Task(identity + train + i, FIRST_KEY["test"] + i, 0, images, 1))
    for i in range(distractors if test else 0):
        found.append(Task(DISTRACTOR, FIRST_KEY["distractor"] + i, 0, 1, 0))
    for i in range(distractors // DISTRACTORS_PER_JUNK if test else 0):
        found.append(Task(JUNK, FIRST_KEY["junk"] + i, 0, 1, 0))
    return found


def number_of_images(settings: Settings) -> int:
    return len(CAMERAS) * sum(t.train + t.gallery + t.query for t in tasks(settings))


def prepare(folder: Path, settings: Settings) -> None:
    for name in FOLDERS:
        (folder / name).mkdir()


def render(folder: Path, settings: Settings, task: Task) -> dict[str, int]:
    """Write all images of one person; returns the view of each relative path."""
    person = draw_person([settings.seed, task.key], FEW_CLOTHS)
    name = "-1" if task.identity == JUNK else f"{task.identity:04d}"
    views: dict[str, int] = {}
    for number, camera in _cameras(settings.seed, settings.difficulty).items():
        rng = np.random.default_rng([settings.seed, 8, task.key, number])
        # Keys keep the frames of two people called alike apart.
        frame = task.key % 50_000 * 100 % 900_000 + int(rng.integers(100))
        boxes = [(TRAIN, i + 1) for i in range(task.train)]
        boxes += [(GALLERY, i + 1) for i in range(task.gallery)]
        boxes += [(QUERY, 0)] * task.query
        for place, box in boxes:
            view = int(rng.integers(3))
            image = camera.photograph(
                person, rng, yaw=yaw_of(rng, view), occlusion=settings.occlusion
            )
            if task.identity == JUNK:
                image = _cut(image, rng)
            path = f"{place}/{name}_c{number}s1_{frame:06d}_{box:02d}.jpg"
            _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg_quality])
            (folder / path).write_bytes(jpeg.tobytes())
            views[path] = view
            frame += FRAMES_APART
    return views


def _cut(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A box around half of the person, left or right, upper or lower."""
    y, x = (int(rng.integers(2)) * size // 2 for size in (HEIGHT, WIDTH))
    return cv2.resize(image[y : y + HEIGHT // 2, x : x + WIDTH // 2], (WIDTH, HEIGHT))


@functools.lru_cache(maxsize=2)
def _cameras(seed: int, difficulty: float) -> dict[int, Camera]:
    return {
        number: draw_camera(
            *(seed, 10 + number),  # other cameras than those of the other layouts
            infrared=False,
            outdoor=number in OUTDOOR,
            location=10 + number,
            difficulty=difficulty,
        )
        for number in CAMERAS
    }
