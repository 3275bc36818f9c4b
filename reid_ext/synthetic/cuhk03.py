"""The layout of CUHK03-NP: five pairs of visible cameras, and two kinds of boxes for every image.

detected/ and labeled/ contain the same images of the same persons. A detected box is slightly
misplaced. A person is seen by one pair of cameras, from two sides of the same place.
"""

from reid_ext.data import cuhk03 as reader
from reid_ext.synthetic.settings import Settings
from reid_ext.synthetic.visible import KEY, LOOSE, WHOLE, Shot, Task, VisibleLayout

FIRST_KEY = 800_000
PAIRS = len(reader.CAMERAS) // 2
BOX = dict(zip(reader.BOXES, (LOOSE, WHOLE), strict=True))

PRESETS = {
    "default": Settings((80, 0, 80), (4, 1), difficulty=1.5, occlusion=0.2),
    "tiny": Settings((24, 0, 12), (3, 1), difficulty=0.5, occlusion=0.0),
}


def people(settings: Settings) -> list[Task]:
    """The training and test identities, once for each kind of box."""
    (train, _, test), (images, queries) = settings.identities, settings.images
    found = []
    for boxes, box in BOX.items():
        folders = reader.folders(boxes)
        for i in range(train):
            key = FIRST_KEY + KEY["train"] + i
            found.append(Task(1 + i, key, _pair(i), folders, train=images, box=box))
        for i in range(test):
            key = FIRST_KEY + KEY["test"] + i
            counts = {"gallery": images, "query": queries}
            found.append(Task(1 + train + i, key, _pair(i), folders, **counts, box=box))
    return found


def _pair(i: int) -> tuple[int, int]:
    first = 2 * (i % PAIRS) + 1
    return first, first + 1


def file_name(shot: Shot) -> str:
    return f"{shot.identity:04d}_c{shot.camera}_{shot.number + 1:02d}.png"


def place(camera: int) -> int:
    return (camera + 1) // 2


LAYOUT = VisibleLayout(
    *("cuhk03-np", PRESETS, people, file_name),
    folders=[folder for boxes in BOX for folder in reader.folders(boxes)],
    stream=40,
    first_camera=40,
    outdoor=frozenset(),
    location=place,
)
