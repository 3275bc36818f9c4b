"""The registry of datasets by name, one line each."""

from collections.abc import Callable, Iterable
from inspect import signature
from pathlib import Path
from types import ModuleType

from reid_ext._runtime.arguments import ArgumentError, choice
from reid_ext.data.readers import (
    cuhk03,
    dukemtmc,
    folders,
    llcm,
    manifest,
    market1501,
    msmt17,
    regdb,
    sysu,
    vehicleid,
    veri776,
)
from reid_ext.data.readers.suggestions import with_suggestion
from reid_ext.data.readers.tree import some
from reid_ext.data.sample import Dataset

# Each module has the function read, the tuple CAMERAS, and the function expected with the published
# counts. Optional: check_lists, and TEST_COUNTS_ANEW if train and test both count from 0.
MODULES: dict[str, ModuleType] = {
    "sysu-mm01": sysu,
    "regdb": regdb,
    "market1501": market1501,
    "dukemtmc-reid": dukemtmc,
    "cuhk03-np": cuhk03,
    "msmt17": msmt17,
    "veri776": veri776,
    "llcm": llcm,
    "vehicleid": vehicleid,
    "folders": folders,
    "manifest": manifest,
}
READERS: dict[str, Callable[..., Dataset]] = {name: module.read for name, module in MODULES.items()}


def module_of(where: str, name: str) -> ModuleType:
    """The module of the dataset ``name``; raises ArgumentError for an unknown name."""
    return MODULES[choice(where, "name", name, MODULES)]


def load(name: str, root: str | Path, **split: str | int) -> Dataset:
    """Read the file lists of a dataset. No image is opened.

    Args:
        name: Name of the dataset, a key of ``READERS`` such as ``"sysu-mm01"``.
        root: Folder of the dataset, in the layout of its authors. For ``"manifest"``, the file.
        split: Further arguments of the reader of this dataset, such as ``evaluate_on="val"``; see
            ``read`` in its module.

    Returns:
        The training samples, the queries and the gallery.

    Raises:
        ArgumentError: ``name`` or an argument in ``split`` is unknown, or a file or a file name of
            the dataset is invalid.
        FileNotFoundError: A required folder or file is missing. The error names the folder nearby
            or the other dataset that can be read.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for image in ("train/anna/c1.jpg", "query/bert/c1.jpg", "gallery/bert/c2.jpg"):
        ...         path = Path(root, image)
        ...         path.parent.mkdir(parents=True)
        ...         path.touch()
        ...     dataset = data.load("folders", root, camera=r"c(\\d+)")
        >>> sample = dataset.gallery[0]
        >>> sample.path.name, sample.identity, sample.camera
        ('c2.jpg', 2, 2)
    """
    check_split("data.load", name, split)
    reader = module_of("data.load", name).read
    try:
        return reader(root, **split)
    except (FileNotFoundError, ArgumentError) as error:
        raise with_suggestion(error, name, Path(root), split, READERS) from None


def check_split(where: str, name: str, split: Iterable[str]) -> None:
    """Raise ArgumentError if the dataset or an argument of its reader is unknown.

    Args:
        where: Name of the calling function, for the error message.
        name: Name of the dataset, as for :func:`load`.
        split: Names of the arguments.

    Raises:
        ArgumentError: ``name`` is unknown, or the reader has no such argument.

    Examples:
        >>> from reid_ext import data
        >>> data.check_split("my_script", "regdb", ["trial"])
        >>> try:
        ...     data.check_split("my_script", "regdb", ["fold"])
        ... except ValueError as error:
        ...     print(error)
        my_script: the arguments of regdb must be among evaluate_on, trial, got fold
    """
    offered = list(signature(module_of(where, name).read).parameters)[1:]
    if unknown := sorted(set(split) - set(offered)):
        requirement = f"be among {', '.join(offered)}"
        raise ArgumentError(where, f"the arguments of {name}", requirement, some(unknown))
