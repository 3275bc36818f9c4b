"""The layout of VeRi-776: twenty visible cameras, three folders, and lists of the file names.

The images show persons, as in every other layout. They test the reader, the protocol and the script
of VeRi-776, but their results do not apply to vehicles.
"""

from collections.abc import Sequence
from pathlib import Path

from reid_ext.data import veri776 as reader
from reid_ext.synthetic.settings import Settings
from reid_ext.synthetic.visible import KEY, Shot, Task, VisibleLayout, cameras_that_see

FIRST_KEY = 1_200_000
SEEN_BY = 6  # number of cameras that see a person

PRESETS = {
    "default": Settings((40, 0, 80), (2, 1), difficulty=2.0, occlusion=0.3),
    "tiny": Settings((24, 0, 12), (2, 1), difficulty=0.5, occlusion=0.0),
}


def people(settings: Settings) -> list[Task]:
    """The training and test identities, each seen by some of the cameras."""
    (train, _, test), (images, queries) = settings.identities, settings.images
    found = []
    for i in range(train + test):
        key = FIRST_KEY + (KEY["train"] + i if i < train else KEY["test"] + i - train)
        cameras = cameras_that_see(settings, key, reader.CAMERAS, SEEN_BY)
        task = Task(1 + i, key, cameras, reader.LAYOUT.folders)
        if i < train:
            found.append(task._replace(train=images))
        else:
            found.append(task._replace(gallery=images, query=queries))
    return found


def file_name(shot: Shot) -> str:
    return f"{shot.identity:04d}_c{shot.camera:03d}_{shot.frame:08d}_{shot.box}.jpg"


def write_lists(folder: Path, settings: Settings, paths: Sequence[str]) -> None:
    for place, name in reader.NAME_LISTS.items():
        names = [path.removeprefix(f"{place}/") for path in paths if path.startswith(f"{place}/")]
        (folder / name).write_text("".join(f"{n}\n" for n in names))


LAYOUT = VisibleLayout(
    *("veri776", PRESETS, people, file_name, reader.LAYOUT.folders),
    stream=80,
    first_camera=80,
    outdoor=frozenset(reader.CAMERAS),
    write_lists=write_lists,
)
