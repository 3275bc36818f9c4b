"""PKU VehicleID: vehicles from the front or from behind, without camera numbers.

    ROOT/image/<image>.jpg
    ROOT/train_test_split/{train_list,test_list_<size>}.txt     lines "image vehicle", without .jpg

Source: Liu et al., CVPR 2016, and the README of the dataset.
"""

import re
from pathlib import Path

from reid_ext._runtime.arguments import choice
from reid_ext.data.readers.expected import Count, Expected
from reid_ext.data.readers.hold_out import EVALUATED, hold_out
from reid_ext.data.readers.tree import check_folders, read_list
from reid_ext.data.sample import Dataset, Sample

NAME = "vehicleid"
SIZES = (800, 1600, 2400, 3200, 6000, 13164)  # numbers of vehicles in the test lists
CAMERAS = (0,)
OTHER_SPLITS = tuple({"size": size} for size in SIZES)
SPARE = ((re.compile(r"image/[^/]+\.jpg$"), "vehicles in no list"),)
_ENDING = re.compile(r"\.jpe?g$", re.IGNORECASE)  # the original lists have none
_IMAGES = {800: 6_493, 1600: 13_377, 2400: 19_777}  # images of the three lists that papers report


def read(root: str | Path, evaluate_on: str = "test", size: int = 800) -> Dataset:
    """Read the file lists of VehicleID.

    Args:
        root: Folder that contains image and train_test_split.
        evaluate_on: If ``"test"``, read a test list. If ``"val"``, hold out the last sixth of the
            training vehicles for validation. Default: ``"test"``.
        size: Number of vehicles in the test list, one of ``SIZES``. Papers report 800 (small), 1600
            (medium) and 2400 (large). Default: 800.

    Returns:
        Samples in the order of the lists. Query and gallery both contain all images of the test
        list; protocol ``"vehicleid"`` draws the gallery of each trial from them.

    Raises:
        FileNotFoundError: A folder or a list is missing.
        ArgumentError: ``size`` is not one of ``SIZES``, a line of a list is invalid, or there are
            fewer than 12 vehicles to hold out from.
    """
    choice(NAME, "evaluate_on", evaluate_on, EVALUATED)
    choice(NAME, "size", size, SIZES)
    root = Path(root)
    check_folders(NAME, root, ("image", "train_test_split"))
    train = _samples(root, "train_list")
    if evaluate_on == "val":
        held_out = hold_out(NAME, train)
        both = held_out.query + held_out.gallery
        return Dataset(NAME, held_out.train, both, both)
    tested = _samples(root, f"test_list_{size}")
    return Dataset(NAME, train, tested, tested)


def expected(size: int = 800) -> Expected:
    """Published counts; 13,164 training vehicles."""
    tested = Count(size, _IMAGES.get(size))
    return Expected(Count(13_164, None), tested, tested)


def _samples(root: Path, name: str) -> list[Sample]:
    path = root / "train_test_split" / f"{name}.txt"
    return [
        Sample(root / "image" / f"{_ENDING.sub('', image)}.jpg", vehicle, 0)
        for image, vehicle in read_list(NAME, path, "0000001 12")
    ]
