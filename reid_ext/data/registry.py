"""The datasets by name: one line each."""

from collections.abc import Callable
from pathlib import Path

from reid_ext.data import market1501, sysu
from reid_ext.data.sample import Dataset

READERS: dict[str, Callable[..., Dataset]] = {
    "sysu-mm01": sysu.read,
    "market1501": market1501.read,
}


def load(name: str, root: str | Path, **split: str) -> Dataset:
    """Read the file lists of a dataset; no image is opened.

    Args:
        name: One of ``READERS``, such as ``"sysu-mm01"``.
        root: The dataset's folder, as its authors pack it.
        split: What the reader of this dataset offers; see ``read`` in its module.

    Raises:
        ValueError: an unknown name, or files that contradict each other.
        FileNotFoundError: a folder or file that the dataset must have.
    """
    if name not in READERS:
        known = ", ".join(READERS)
        raise ValueError(f"data.load: name must be one of {known}, got {name!r}")
    return READERS[name](root, **split)
