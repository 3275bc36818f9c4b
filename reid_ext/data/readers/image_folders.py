"""Three flat folders of images, to train on, to find and to search, whose names say who and where.

Market-1501's layout, which later datasets took over. What each calls its folders and images is in
its own module.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from reid_ext._runtime.arguments import ArgumentError, choice
from reid_ext.data.readers.hold_out import EVALUATED, hold_out
from reid_ext.data.readers.tree import check_folders, image_names, some
from reid_ext.data.sample import Dataset, Sample
from reid_ext.data.view_names import read_views


class Layout(NamedTuple):
    """Folders and names of a dataset."""

    name: str
    folders: tuple[str, str, str]  # train, query, gallery
    image_name: re.Pattern[str]  # its first two groups: identity and camera
    example: str
    cameras: Sequence[int]
    nobody: tuple[int, ...] = ()  # identities that are no one person's, so not trained on


def read(layout: Layout, root: str | Path, evaluate_on: str = "test") -> Dataset:
    """Read the file lists of a dataset in this layout.

    Args:
        layout: Its folders and names.
        root: The folder that holds ``layout.folders``.
        evaluate_on: ``"test"``: query and gallery folder. ``"val"``, to choose settings by: the
            last sixth of the training identities, which are then not trained on. Their first
            image in each camera is a query, all others are the gallery.

    Returns:
        Samples sorted by file name.

    Raises:
        FileNotFoundError: a folder is missing.
        ValueError: a folder without images, an image whose name says no identity and camera, or
            too few identities to hold out.
    """
    choice(layout.name, "evaluate_on", evaluate_on, EVALUATED)
    root = Path(root)
    check_folders(layout.name, root, layout.folders)
    views = read_views(root)
    train_folder, query_folder, gallery_folder = layout.folders
    train = _samples(layout, root, train_folder, views)
    train = [s for s in train if s.identity not in layout.nobody]
    if not train:
        junk = " and ".join(map(str, layout.nobody))
        got = f"only the junk and distractor identities {junk}"
        folder, advice = str(root / train_folder), "unpack the archive again"
        raise ArgumentError(layout.name, folder, "hold images of identities", got, advice)
    if evaluate_on == "val":
        return hold_out(layout.name, train)
    query = _samples(layout, root, query_folder, views)
    return Dataset(layout.name, train, query, _samples(layout, root, gallery_folder, views))


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
        got = some(odd) if odd else "none"
        raise ArgumentError(layout.name, str(root / folder), requirement, got, advice)
    return samples
