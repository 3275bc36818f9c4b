"""The datasets by name: one line each."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from types import ModuleType

from reid_ext.data import cuhk03, dukemtmc, market1501, msmt17, regdb, sysu, veri776
from reid_ext.data.sample import Dataset

# What each module has: read, the CAMERAS there are, and the counts expected of a complete copy.
MODULES: dict[str, ModuleType] = {
    "sysu-mm01": sysu,
    "regdb": regdb,
    "market1501": market1501,
    "dukemtmc-reid": dukemtmc,
    "cuhk03-np": cuhk03,
    "msmt17": msmt17,
    "veri776": veri776,
}
READERS: dict[str, Callable[..., Dataset]] = {name: module.read for name, module in MODULES.items()}


def module_of(where: str, name: str) -> ModuleType:
    """The module of dataset ``name``; ValueError for a name that is none."""
    if name not in MODULES:
        known = ", ".join(MODULES)
        raise ValueError(f"{where}: name must be one of {known}, got {name!r}")
    return MODULES[name]


def load(name: str, root: str | Path, **split: str | int) -> Dataset:
    """Read the file lists of a dataset; no image is opened.

    Args:
        name: One of ``READERS``, such as ``"sysu-mm01"``.
        root: The dataset's folder, as its authors pack it.
        split: What the reader of this dataset offers; see ``read`` in its module.

    Raises:
        ValueError: an unknown name or split, or files that contradict each other.
        FileNotFoundError: a folder or file that the dataset must have.
    """
    module = module_of("data.load", name)
    offered = signature(module.read).parameters
    if unknown := sorted(set(split) - set(offered)):
        raise ValueError(
            f"data.load: {name} must be given {', '.join(list(offered)[1:])} alone, got "
            f"{', '.join(unknown)}"
        )
    return module.read(root, **split)
