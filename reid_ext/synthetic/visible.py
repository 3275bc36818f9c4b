"""Shared code of the layouts with visible cameras only.

A layout defines its folders, cameras and file names, and the number of images of each person.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.synthetic.camera import HEIGHT, WIDTH, Camera, draw_camera
from reid_ext.synthetic.palette import FEW_CLOTHS
from reid_ext.synthetic.person import draw_person
from reid_ext.synthetic.settings import FOUR_DIGITS, Settings
from reid_ext.synthetic.yaw import yaw_of

FRAMES_APART = 25
WHOLE, HALF, LOOSE = "whole", "half", "loose"  # how a box fits its person
_TIGHTEST = 0.84  # smallest side of a loose box, as a fraction of the image's side

# Offsets of the keys of the persons by kind. A person therefore does not depend on the number of
# persons of another kind.
KEY = {"train": 1, "test": 50_001, "distractor": 100_001, "junk": 150_001}
KEYS_PER_KIND = 50_000


class Task(NamedTuple):
    """One person to render: identity, key of the seed, cameras, folders, and images per camera."""

    identity: int
    key: int
    cameras: Sequence[int]
    folders: tuple[str, str, str]  # train, query, gallery
    train: int = 0
    gallery: int = 0
    query: int = 0
    box: str = WHOLE


class Shot(NamedTuple):
    """The properties of an image that its file name may contain."""

    identity: int
    camera: int
    frame: int
    box: int  # 0 for a query
    number: int  # position among the images of the person, from 0


@dataclass(frozen=True)
class VisibleLayout:
    """A layout given by its parts; worker processes require functions at module level."""

    name: str
    PRESETS: Mapping[str, Settings]
    people: Callable[[Settings], list[Task]]
    file_name: Callable[[Shot], str]  # path below the folder of its split
    folders: Sequence[str]
    stream: int  # stream of random numbers, different in each layout
    first_camera: int  # offset of the camera seeds, different in each layout
    outdoor: frozenset[int]
    location: Callable[[int], int] = int  # cameras of the same location see the same scenes
    write_lists: Callable[[Path, Settings, Sequence[str]], None] | None = None

    def check(self, settings: Settings) -> None:
        _, val, _ = settings.identities
        if val:
            requirement = f"have 0 validation identities for {self.name!r}"
            got = str(settings.identities)
            advice = "its reader holds out training identities for evaluate_on='val'"
            raise ArgumentError("synthesize", "identities", requirement, got, advice)
        last = max(task.identity for task in self.people(settings))
        if last > FOUR_DIGITS:
            requirement = f"give at most {FOUR_DIGITS} identities, including distractors"
            raise ArgumentError("synthesize", "identities and images", requirement, str(last))

    def tasks(self, settings: Settings) -> list[Task]:
        return self.people(settings)

    def number_of_images(self, settings: Settings) -> int:
        tasks = self.people(settings)
        return sum(len(t.cameras) * (t.train + t.gallery + t.query) for t in tasks)

    def prepare(self, folder: Path, settings: Settings) -> None:
        for name in self.folders:
            (folder / name).mkdir(parents=True)

    def render(self, folder: Path, settings: Settings, task: Task) -> dict[str, int]:
        person = draw_person([settings.seed, task.key], FEW_CLOTHS)
        views: dict[str, int] = {}
        train, query, gallery = task.folders
        for number in task.cameras:
            camera = self._camera(settings, number)
            rng = np.random.default_rng([settings.seed, self.stream, task.key, number])
            boxes_rng = np.random.default_rng([settings.seed, self.stream, task.key, number, 1])
            # Two persons of the same identity number, such as distractors, get different frames.
            frame = task.key % KEYS_PER_KIND * 100 % 900_000 + int(rng.integers(100))
            boxes = [(train, i + 1) for i in range(task.train)]
            boxes += [(gallery, i + 1) for i in range(task.gallery)]
            boxes += [(query, 0)] * task.query
            for place, box in boxes:
                view = int(rng.integers(3))
                image = camera.photograph(
                    person, rng, yaw=yaw_of(rng, view), occlusion=settings.occlusion
                )
                if task.box == HALF:
                    image = _half(image, rng)
                elif task.box == LOOSE:
                    image = _loose(image, boxes_rng)
                shot = Shot(task.identity, number, frame, box, len(views))
                path = f"{place}/{self.file_name(shot)}"
                write_image(folder / path, image, camera.jpeg_quality)
                views[path] = view
                frame += FRAMES_APART
        return views

    def finish(self, folder: Path, settings: Settings, paths: Sequence[str]) -> None:
        if self.write_lists is not None:
            self.write_lists(folder, settings, paths)

    def _camera(self, settings: Settings, number: int) -> Camera:
        return _camera(
            settings.seed,
            self.first_camera + number,
            self.first_camera + self.location(number),
            number in self.outdoor,
            settings.difficulty,
        )


def write_image(path: Path, image: np.ndarray, jpeg_quality: int) -> None:
    """Write a BGR or grey image in the format of the path's suffix."""
    path.parent.mkdir(exist_ok=True)
    parameters = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if path.suffix == ".jpg" else []
    _, content = cv2.imencode(path.suffix, image, parameters)
    path.write_bytes(content.tobytes())


def cameras_that_see(settings: Settings, key: int, cameras: Sequence[int], count: int) -> list[int]:
    """The ``count`` cameras that see a person, determined by its key."""
    rng = np.random.default_rng([settings.seed, 9, key])
    return sorted(rng.permutation(cameras)[:count].tolist())


def by_identity(paths: Sequence[str], name: re.Pattern[str]) -> dict[tuple[str, ...], list[str]]:
    """The paths, grouped by the values of the groups of the pattern ``name``."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for path in paths:
        if match := name.match(path):
            groups.setdefault(match.groups(), []).append(path)
    return groups


def _half(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Crop a quarter of the image: left or right, upper or lower half of the person."""
    y, x = (int(rng.integers(2)) * size // 2 for size in (HEIGHT, WIDTH))
    return cv2.resize(image[y : y + HEIGHT // 2, x : x + WIDTH // 2], (WIDTH, HEIGHT))


def _loose(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Crop a box that is slightly misplaced, like that of a detector."""
    height, width = (int(size * rng.uniform(_TIGHTEST, 1)) for size in (HEIGHT, WIDTH))
    y, x = int(rng.integers(HEIGHT - height + 1)), int(rng.integers(WIDTH - width + 1))
    return cv2.resize(image[y : y + height, x : x + width], (WIDTH, HEIGHT))


@functools.lru_cache(maxsize=64)
def _camera(seed: int, number: int, location: int, outdoor: bool, difficulty: float) -> Camera:
    return draw_camera(
        *(seed, number), infrared=False, outdoor=outdoor, location=location, difficulty=difficulty
    )
