"""The layout of Market-1501: six visible cameras, and one folder each for train, query and gallery.

Test identities have one query per camera. The gallery also contains distractors (identity 0000) and
junk (identity -1), i.e. boxes that contain a part of a person, like false detections.
"""

from reid_ext._runtime.labels import DISTRACTOR, JUNK
from reid_ext.data import market1501 as reader
from reid_ext.synthetic.settings import Settings
from reid_ext.synthetic.visible import HALF, KEY, Shot, Task, VisibleLayout

FIRST_IDENTITY = 2  # as in the real dataset; 0 is distractors, -1 is junk
FIRST_KEY = 300_000
DISTRACTORS_PER_JUNK = 4

PRESETS = {
    # Few colours, hard cameras and few images: on easier data, all losses reach high scores.
    "default": Settings((40, 0, 80), (2, 30), difficulty=2.0, occlusion=0.3),
    "tiny": Settings((24, 0, 12), (2, 4), difficulty=0.5, occlusion=0.0),
}


def people(settings: Settings) -> list[Task]:
    """The training identities, the test identities, the distractors and the junk."""
    (train, _, test), (images, distractors) = settings.identities, settings.images

    def task(kind: str, i: int, identity: int) -> Task:
        key = FIRST_KEY + KEY[kind] + i
        return Task(identity, key, reader.CAMERAS, reader.LAYOUT.folders)

    trained = [task("train", i, FIRST_IDENTITY + i) for i in range(train)]
    tested = [task("test", i, FIRST_IDENTITY + train + i) for i in range(test)]
    found = [t._replace(train=images) for t in trained]
    found += [t._replace(gallery=images, query=1) for t in tested]
    if test:
        nobody = [task("distractor", i, DISTRACTOR) for i in range(distractors)]
        cut = [task("junk", i, JUNK) for i in range(distractors // DISTRACTORS_PER_JUNK)]
        found += [t._replace(gallery=1) for t in nobody]
        found += [t._replace(gallery=1, box=HALF) for t in cut]
    return found


def file_name(shot: Shot) -> str:
    identity = "-1" if shot.identity == JUNK else f"{shot.identity:04d}"
    return f"{identity}_c{shot.camera}s1_{shot.frame:06d}_{shot.box:02d}.jpg"


LAYOUT = VisibleLayout(
    *("market1501", PRESETS, people, file_name, reader.LAYOUT.folders),
    stream=8,
    first_camera=10,
    outdoor=frozenset({4, 5, 6}),
)
