"""VeRi-776: vehicles in twenty cameras, in three folders like Market-1501.

    ROOT/{image_train,image_query,image_test}/<identity>_c<camera, 3 digits>_<frame>_<box>.jpg
    ROOT/name_{train,query,test}.txt     the same file names, one per line; optional
    ROOT/views.json                      only in a synthetic dataset: path below ROOT -> view

Source: Liu et al., ECCV 2016, and the file names of the dataset.
"""

import re
from pathlib import Path

from reid_ext.data.readers import image_folders
from reid_ext.data.readers.expected import Count, Expected
from reid_ext.data.readers.tree import image_names, some
from reid_ext.data.sample import Dataset

LAYOUT = image_folders.Layout(
    name="veri776",
    folders=("image_train", "image_query", "image_test"),
    image_name=re.compile(r"(\d{4})_c(\d{3})_\d+_\d+(?:\.jpg){1,2}", re.IGNORECASE),
    example="0002_c002_00030600_0.jpg",
    cameras=range(1, 21),
)
CAMERAS = tuple(LAYOUT.cameras)
NAME_LISTS = dict(
    zip(LAYOUT.folders, ("name_train.txt", "name_query.txt", "name_test.txt"), strict=True)
)


def read(root: str | Path, evaluate_on: str = "test") -> Dataset:
    """Read the folders of VeRi-776; see :func:`image_folders.read`."""
    return image_folders.read(LAYOUT, root, evaluate_on)


def check_lists(root: Path) -> list[str]:
    """Differences between the folders and those lists of names that exist."""
    wrong = []
    for folder, name in NAME_LISTS.items():
        if not (root / name).is_file() or not (root / folder).is_dir():
            continue
        listed = set((root / name).read_text(encoding="utf-8-sig", errors="replace").split())
        there = set(image_names(root / folder))
        unlisted, absent = there - listed, listed - there
        for names, where, lacking in ((absent, name, folder), (unlisted, folder, name)):
            if names:
                shown = some(sorted(names))
                images = "1 image that is" if len(names) == 1 else f"{len(names)} images that are"
                wrong.append(
                    f"veri776: {where} has {images} missing in {lacking}: {shown}; copy both again"
                )
    return wrong


def expected() -> Expected:
    """Published counts: 576 training and 200 test vehicles."""
    return Expected(Count(576, 37_778), Count(200, 1_678), Count(200, 11_579))
