"""Market-1501: six visible cameras.

    ROOT/{bounding_box_train,query,bounding_box_test}/<identity>_c<camera>s<part>_<frame>_<box>.jpg
    ROOT/views.json                      only the embedded dataset: path below ROOT -> view

Identity 0000 is nobody in particular, a distractor; -1 is junk, a bad box. Both are in the gallery.

Source: Zheng et al., ICCV 2015, and the file names of the dataset.
"""

import re
from pathlib import Path

from reid_ext.data.readers import image_folders
from reid_ext.data.readers.expected import Count, Expected
from reid_ext.data.sample import Dataset

DISTRACTOR, JUNK = 0, -1
LAYOUT = image_folders.Layout(
    name="market1501",
    folders=("bounding_box_train", "query", "bounding_box_test"),
    # Some names of the dataset end in .jpg.jpg.
    image_name=re.compile(r"(-1|\d{4})_c(\d)s\d_\d+_\d+(?:\.jpg){1,2}", re.IGNORECASE),
    example="0002_c1s1_000451_03.jpg",
    cameras=range(1, 7),
    nobody=(DISTRACTOR, JUNK),
)
CAMERAS = tuple(LAYOUT.cameras)


def read(root: str | Path, evaluate_on: str = "test") -> Dataset:
    """Read the file lists of Market-1501.

    The gallery holds identity 0, distractors, and -1, junk, which the protocol leaves out;
    training has neither. Arguments, order and errors: :func:`image_folders.read`.
    """
    return image_folders.read(LAYOUT, root, evaluate_on)


def expected() -> Expected:
    """The 19,732 gallery images are of 750 identities, distractors and junk."""
    return Expected(Count(751, 12_936), Count(750, 3_368), Count(752, 19_732))
