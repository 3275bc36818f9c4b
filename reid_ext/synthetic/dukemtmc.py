"""The layout of DukeMTMC-reID: eight visible outdoor cameras, in three folders like Market-1501.

Test identities have one query per camera. The gallery also contains distractors, each of which only
one camera sees.
"""

from reid_ext.data import dukemtmc as reader
from reid_ext.synthetic.settings import Settings
from reid_ext.synthetic.visible import KEY, Shot, Task, VisibleLayout, cameras_that_see

FIRST_KEY = 600_000

PRESETS = {
    "default": Settings((40, 0, 60), (2, 60), difficulty=2.0, occlusion=0.3),
    "tiny": Settings((24, 0, 12), (2, 8), difficulty=0.5, occlusion=0.0),
}


def people(settings: Settings) -> list[Task]:
    """The training identities, the test identities and the distractors."""
    (train, _, test), (images, distractors) = settings.identities, settings.images
    folders, cameras = reader.LAYOUT.folders, reader.CAMERAS
    found = []
    for i in range(train):
        found.append(Task(1 + i, FIRST_KEY + KEY["train"] + i, cameras, folders, train=images))
    for i in range(test):
        key = FIRST_KEY + KEY["test"] + i
        found.append(Task(1 + train + i, key, cameras, folders, gallery=images, query=1))
    for i in range(distractors if test else 0):
        key = FIRST_KEY + KEY["distractor"] + i
        alone = cameras_that_see(settings, key, cameras, 1)
        found.append(Task(1 + train + test + i, key, alone, folders, gallery=images))
    return found


def file_name(shot: Shot) -> str:
    return f"{shot.identity:04d}_c{shot.camera}_f{shot.frame:07d}.jpg"


LAYOUT = VisibleLayout(
    *("dukemtmc-reid", PRESETS, people, file_name, reader.LAYOUT.folders),
    stream=20,
    first_camera=20,
    outdoor=frozenset(reader.CAMERAS),
)
