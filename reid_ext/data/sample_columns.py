"""Conversion of samples to the columns of a :class:`reid_ext.FeatureSet`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reid_ext.data.readers.registry import module_of
from reid_ext.data.sample import Sample

UNKNOWN_VIEW = -1


def columns(samples: Sequence[Sample], name: str = "") -> dict[str, list[Any]]:
    """Return the labels of the samples, one list for each column of a feature set.

    Args:
        samples: Any samples, such as the queries of a dataset.
        name: Name of their dataset. If the protocol of this dataset needs image numbers, as that
            of ``"sysu-mm01"`` does, the result has a column ``images``. ``samples`` must then
            contain all images of each (camera, identity) pair, as query and gallery do. Default:
            ``""`` (no column ``images``).

    Returns:
        The columns ``identities``, ``cameras``, ``views`` (-1 if unknown), ``modalities``,
        ``paths`` (absolute) and, if the dataset has image numbers, ``images``.

    Raises:
        ArgumentError: ``name`` is not a known dataset.

    Examples:
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> samples = [data.Sample(Path("a.jpg"), 3, 1, view=2), data.Sample(Path("b.jpg"), 4, 2)]
        >>> columns = data.columns(samples)
        >>> columns["identities"], columns["cameras"], columns["views"]
        ([3, 4], [1, 2], [2, -1])
    """
    found: dict[str, list[Any]] = {
        "identities": [s.identity for s in samples],
        "cameras": [s.camera for s in samples],
        "views": [UNKNOWN_VIEW if s.view is None else s.view for s in samples],
        "modalities": [s.modality for s in samples],
        "paths": [str(Path(s.path).resolve()) for s in samples],
    }
    if any(s.label for s in samples):
        found["labels"] = [s.label for s in samples]
    numbers = getattr(module_of("data.columns", name), "image_numbers", None) if name else None
    if numbers is not None:
        found["images"] = numbers(samples)
    return found
