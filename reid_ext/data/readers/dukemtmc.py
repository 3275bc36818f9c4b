"""DukeMTMC-reID: eight visible cameras, in the layout of Market-1501.

    ROOT/{bounding_box_train,query,bounding_box_test}/<identity>_c<camera>_f<frame>.jpg
    ROOT/views.json                      only in a synthetic dataset: path below ROOT -> view

The gallery has 408 distractor identities, which only one camera saw; they have no query.

Source: Ristani et al., ECCV workshops 2016; Zheng et al., ICCV 2017; the file names of the dataset.
"""

import re
from pathlib import Path

from reid_ext.data.readers import image_folders
from reid_ext.data.readers.expected import Count, Expected
from reid_ext.data.sample import Dataset

LAYOUT = image_folders.Layout(
    name="dukemtmc-reid",
    folders=("bounding_box_train", "query", "bounding_box_test"),
    image_name=re.compile(r"(\d{4})_c(\d)_f\d+(?:\.jpg){1,2}", re.IGNORECASE),
    example="0005_c2_f0046985.jpg",
    cameras=range(1, 9),
)
CAMERAS = tuple(LAYOUT.cameras)


def read(root: str | Path, evaluate_on: str = "test") -> Dataset:
    """Read the file lists of DukeMTMC-reID; see :func:`image_folders.read`."""
    return image_folders.read(LAYOUT, root, evaluate_on)


def expected() -> Expected:
    """Published counts; the gallery has 702 test identities and 408 distractors."""
    return Expected(Count(702, 16_522), Count(702, 2_228), Count(1_110, 17_661))
