"""Market-1501: six visible cameras.

    ROOT/{bounding_box_train,query,bounding_box_test}/<identity>_c<camera>s<part>_<frame>_<box>.jpg
    ROOT/views.json                      only in a synthetic dataset: path below ROOT -> view

The gallery contains distractors (identity 0000) and junk, i.e. badly cropped boxes (identity -1).

Source: Zheng et al., ICCV 2015, and the file names of the dataset.
"""

import re
from pathlib import Path

from reid_ext.data.readers import image_folders
from reid_ext.data.readers.expected import Count, Expected
from reid_ext.data.sample import Dataset

LAYOUT = image_folders.Layout(
    name="market1501",
    folders=("bounding_box_train", "query", "bounding_box_test"),
    # Some file names of the dataset end in .jpg.jpg.
    image_name=re.compile(r"(-1|\d{4})_c(\d)s\d_\d+_\d+(?:\.jpg){1,2}", re.IGNORECASE),
    example="0002_c1s1_000451_03.jpg",
    cameras=range(1, 7),
    has_nobody=True,
)
CAMERAS = tuple(LAYOUT.cameras)
SPARE = ((re.compile("gt_bbox/"), "drawn by hand (gt_bbox)"),)


def read(root: str | Path, evaluate_on: str = "test") -> Dataset:
    """Read the file lists of Market-1501; see :func:`image_folders.read`.

    The gallery includes distractors (identity 0) and junk (identity -1). The protocol ignores junk.
    The training samples include neither; ``Dataset.left_out`` has those of the training folder.
    """
    return image_folders.read(LAYOUT, root, evaluate_on)


def expected() -> Expected:
    """Published counts; the gallery has 750 identities, distractors and junk."""
    return Expected(Count(751, 12_936), Count(750, 3_368), Count(752, 19_732))
