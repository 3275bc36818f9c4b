"""The layout of RegDB: a visible and a thermal camera at one place, and the lists of ten trials.

Visible/ and Thermal/<person>/person_<view>_<v or t>_<number>_<person>.bmp
idx/{train,test}_{visible,thermal}_{1..10}.txt

Every trial splits all persons into train and test in another way. Near-infrared images replace the
thermal ones. The brightness of a garment does not depend on its colour; body heat is not visible.
"""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.data import regdb as reader
from reid_ext.synthetic.camera import Camera, draw_camera
from reid_ext.synthetic.person import draw_person
from reid_ext.synthetic.settings import Settings
from reid_ext.synthetic.visible import write_image
from reid_ext.synthetic.yaw import frame_yaw, view_of

FIRST_KEY = 1_400_001
FIRST_CAMERA = 110
STREAM = 110
FOLDERS = ("Visible", "Thermal")
VIEWS = ("front", "side", "back")

PRESETS = {
    "default": Settings((120, 0, 60), (6, 6), difficulty=1.0, occlusion=0.06),
    "tiny": Settings((32, 0, 8), (4, 4), difficulty=0.3, occlusion=0.0),
}


class Task(NamedTuple):
    """One person to render: the number of its folder, and the key of its seed."""

    identity: int
    key: int


def check(settings: Settings) -> None:
    train, val, test = settings.identities
    if val or not train or not test:
        requirement = "have train and test identities and 0 validation identities for 'regdb'"
        advice = "its reader holds out training identities for evaluate_on='val'"
        got = str(settings.identities)
        raise ArgumentError("synthesize", "identities", requirement, got, advice)


def tasks(settings: Settings) -> list[Task]:
    """All persons, numbered from 1; each trial splits them into train and test."""
    return [Task(1 + i, FIRST_KEY + i) for i in range(sum(settings.identities))]


def number_of_images(settings: Settings) -> int:
    return sum(settings.identities) * sum(settings.images)


def prepare(folder: Path, settings: Settings) -> None:
    for name in (*FOLDERS, "idx"):
        (folder / name).mkdir()


def render(folder: Path, settings: Settings, task: Task) -> dict[str, int]:
    """Write all images of one person, and return the view of each path below ``folder``."""
    person = draw_person([settings.seed, task.key])
    views: dict[str, int] = {}
    for modality, count in enumerate(settings.images):
        camera = _camera(settings.seed, settings.difficulty, modality)
        rng = np.random.default_rng([settings.seed, STREAM, task.key, modality])
        heading = rng.uniform(-math.pi, math.pi)
        for i in range(count):
            yaw = frame_yaw(rng, heading)
            image = camera.photograph(person, rng, yaw=yaw, occlusion=settings.occlusion)
            view, kind = view_of(yaw), FOLDERS[modality]
            number = f"{kind[0].lower()}_{task.identity * 100 + i:05d}_{task.identity}"
            path = f"{kind}/{task.identity}/person_{VIEWS[view]}_{number}.bmp"
            gray = image[..., 0] if camera.infrared else image
            write_image(folder / path, gray, camera.jpeg_quality)
            views[path] = view
    return views


def finish(folder: Path, settings: Settings, paths: Sequence[str]) -> None:
    """Write the lists of the trials, which count the identities of each half from 0."""
    train, _, _ = settings.identities
    everyone = np.arange(1, sum(settings.identities) + 1)
    of_person: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        kind, person, _ = path.split("/")
        of_person.setdefault((kind, person), []).append(path)
    for trial in reader.TRIALS:
        order = np.random.default_rng([settings.seed, STREAM, trial]).permutation(everyone)
        for split, persons in (("train", order[:train]), ("test", order[train:])):
            for kind, suffix in zip(FOLDERS, reader.KINDS.values(), strict=True):
                lines = [
                    f"{path} {label}\n"
                    for label, person in enumerate(sorted(persons.tolist()))
                    for path in of_person[kind, str(person)]
                ]
                (folder / "idx" / f"{split}_{suffix}_{trial}.txt").write_text("".join(lines))


@functools.lru_cache(maxsize=4)
def _camera(seed: int, difficulty: float, modality: int) -> Camera:
    """Return the visible camera for modality 0 or the thermal one for 1; both see one scene."""
    number = FIRST_CAMERA + reader.CAMERAS[modality]
    return draw_camera(
        *(seed, number),
        infrared=modality == 1,
        outdoor=True,
        location=FIRST_CAMERA,
        difficulty=difficulty,
    )
