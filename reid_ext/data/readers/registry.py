"""The datasets by name: one line each."""

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
from reid_ext.data.sample import Dataset

# What each module has: read, the CAMERAS there are, and the counts expected of a complete copy. And
# where it applies: check_lists, and TEST_COUNTS_ANEW where train and test have the same numbers.
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
    """The module of dataset ``name``; raises ArgumentError for an unknown dataset."""
    return MODULES[choice(where, "name", name, MODULES)]


def load(name: str, root: str | Path, **split: str | int) -> Dataset:
    """Read the file lists of a dataset; no image is opened.

    Args:
        name: One of ``READERS``, such as ``"sysu-mm01"``.
        root: The dataset's folder, as its authors pack it; of a ``"manifest"`` the file.
        split: What the reader of this dataset offers; see ``read`` in its module.

    Raises:
        ArgumentError: an unknown name or split, or files that contradict each other.
        FileNotFoundError: a folder or file that the dataset must have.
    """
    check_split("data.load", name, split)
    return module_of("data.load", name).read(root, **split)


def check_split(where: str, name: str, split: Iterable[str]) -> None:
    """ArgumentError for an unknown dataset or an unknown argument of its reader."""
    offered = list(signature(module_of(where, name).read).parameters)[1:]
    if unknown := sorted(set(split) - set(offered)):
        requirement = f"be given only {', '.join(offered)}"
        raise ArgumentError(where, name, requirement, ", ".join(unknown))
