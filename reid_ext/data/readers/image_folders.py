"""Reader of Market-1501's layout: three flat folders of images (train, query and gallery).

The file names contain identity and camera. Later datasets use the same layout with other names of
folders and images, which are defined in their own modules.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from reid_ext._runtime.arguments import ArgumentError, choice
from reid_ext.data.readers.hold_out import EVALUATED, NOBODY, divided_by_person, hold_out
from reid_ext.data.readers.tree import check_folders, image_names, some
from reid_ext.data.sample import Dataset, Sample
from reid_ext.data.view_names import read_views


class Layout(NamedTuple):
    """Names of the folders and images of a dataset."""

    name: str
    folders: tuple[str, str, str]  # train, query, gallery
    image_name: re.Pattern[str]  # its first two groups: identity and camera
    example: str
    cameras: Sequence[int]
    has_nobody: bool = False  # -1 is junk and 0 a distractor, which training leaves out


def read(layout: Layout, root: str | Path, evaluate_on: str = "test") -> Dataset:
    """Read the file lists of a dataset in this layout.

    Args:
        layout: Names of the folders and images.
        root: Folder that contains ``layout.folders``.
        evaluate_on: If ``"test"``, read the query and gallery folders. If ``"val"``, hold out the
            last sixth of the training identities, to choose hyperparameters on. Their first image
            in each camera is a query, all others are in the gallery. Default: ``"test"``.

    Returns:
        Samples sorted by file name.

    Raises:
        FileNotFoundError: A folder is missing.
        ArgumentError: A folder has no images, a file name has no valid identity and camera, or
            there are fewer than 12 identities to hold out from.
    """
    choice(layout.name, "evaluate_on", evaluate_on, EVALUATED)
    root = Path(root)
    check_folders(layout.name, root, layout.folders)
    views = read_views(root)
    train_folder, query_folder, gallery_folder = layout.folders
    train = _samples(layout, root, train_folder, views)
    nobody: list[Sample] = []
    if layout.has_nobody:
        train, nobody = divided_by_person(layout.name, str(root / train_folder), train)
    if evaluate_on == "val":
        return hold_out(layout.name, train).without(NOBODY, nobody)
    query = _samples(layout, root, query_folder, views)
    gallery = _samples(layout, root, gallery_folder, views)
    return Dataset(layout.name, train, query, gallery).without(NOBODY, nobody)


def _samples(layout: Layout, root: Path, folder: str, views: dict[str, int]) -> list[Sample]:
    samples, odd = [], []
    for file_name in image_names(root / folder):
        match = layout.image_name.fullmatch(file_name)
        if match and int(match[2]) in layout.cameras:
            view = views.get(f"{folder}/{file_name}")
            samples.append(Sample(root / folder / file_name, int(match[1]), int(match[2]), view))
        else:
            odd.append(file_name)
    if odd or not samples:
        cameras = f"cameras {layout.cameras[0]} to {layout.cameras[-1]}"
        requirement = f"hold images named like {layout.example} ({cameras})"
        advice = "rename or remove these files" if odd else "unpack the archive again"
        got = some(odd) if odd else "no images"
        raise ArgumentError(layout.name, str(root / folder), requirement, got, advice)
    return samples
