"""CUHK03-NP: five pairs of visible cameras, in the layout of Market-1501, with two kinds of boxes.

    ROOT/{detected,labeled}/{bounding_box_train,query,bounding_box_test}/
        <identity>_c<camera>_<image>.png     or .jpg
    ROOT/views.json                          only in a synthetic dataset: path below ROOT -> view

The new protocol has 767 training and 700 test identities, each seen by the two cameras of a pair.
The boxes come from a detector or from manual labels. ``cuhk03_mat`` creates these folders from the
MATLAB files of the authors.

Source: Li et al., CVPR 2014; Zhong et al., CVPR 2017, and the files of its authors.
"""

import re
from pathlib import Path

from reid_ext._runtime.arguments import choice
from reid_ext.data.readers import image_folders
from reid_ext.data.readers.expected import Count, Expected
from reid_ext.data.sample import Dataset

NAME = "cuhk03-np"
BOXES = ("detected", "labeled")
CAMERAS = tuple(range(1, 11))
OTHER_SPLITS = tuple({"boxes": boxes} for boxes in BOXES)
IMAGES_MAT = "cuhk-03.mat"
_IMAGE_NAME = re.compile(r"(\d{4})_c(\d{1,2})_\d+(?:\.jpg|\.png){1,2}", re.IGNORECASE)


def read(root: str | Path, evaluate_on: str = "test", boxes: str = "detected") -> Dataset:
    """Read the file lists of CUHK03-NP.

    Args:
        root: Folder that contains ``detected`` or ``labeled``, depending on ``boxes``.
        evaluate_on: As in :func:`image_folders.read`, which raises the same errors.
        boxes: ``"detected"`` or ``"labeled"``. Default: ``"detected"``.
    """
    choice(NAME, "boxes", boxes, BOXES)
    root = Path(root)
    if not (root / boxes).is_dir() and find_images(root):
        raise FileNotFoundError(
            f"{NAME}: root must hold the folder {boxes}, got {root} with the MATLAB files; convert "
            f"them to folders with: reid-ext data convert {NAME} {root} OUT"
        )
    layout = image_folders.Layout(
        name=NAME,
        folders=folders(boxes),
        image_name=_IMAGE_NAME,
        example="0003_c1_21.png",
        cameras=CAMERAS,
    )
    return image_folders.read(layout, root, evaluate_on)


def find_images(root: Path) -> Path | None:
    """The MATLAB file of all images in one of its usual places, or None."""
    places = (root / IMAGES_MAT, root / "cuhk03_release" / IMAGES_MAT)
    return next((path for path in places if path.is_file()), None)


def folders(boxes: str) -> tuple[str, str, str]:
    """The train, query and gallery folders of a kind of boxes."""
    return f"{boxes}/bounding_box_train", f"{boxes}/query", f"{boxes}/bounding_box_test"


def expected(boxes: str = "detected") -> Expected:
    """Published counts, which differ by the kind of boxes."""
    train, gallery = (7_365, 5_332) if boxes == "detected" else (7_368, 5_328)
    return Expected(Count(767, train), Count(700, 1_400), Count(700, gallery))
