"""What is known of samples as the columns of a :class:`reid_ext.FeatureSet`."""

from collections.abc import Sequence
from typing import Any

from reid_ext.data.readers.registry import module_of
from reid_ext.data.sample import Sample

UNKNOWN_VIEW = -1


def columns(samples: Sequence[Sample], name: str = "") -> dict[str, list[Any]]:
    """Return what is known of the samples, one list for each column of a feature set.

    Args:
        samples: Any samples, such as the queries of a dataset.
        name: The dataset they are from. With the name of one whose images are numbered, such as
            ``"sysu-mm01"``, there is a column ``images``; then ``samples`` must hold all images
            of each (camera, identity) in it, as query and gallery do.

    Returns:
        ``identities``, ``cameras``, ``views`` (-1 where unknown), ``modalities``, absolute
        ``paths`` and, where the dataset has them, ``images``.

    Raises:
        ValueError: an unknown dataset.
    """
    found: dict[str, list[Any]] = {
        "identities": [s.identity for s in samples],
        "cameras": [s.camera for s in samples],
        "views": [UNKNOWN_VIEW if s.view is None else s.view for s in samples],
        "modalities": [s.modality for s in samples],
        "paths": [str(s.path.resolve()) for s in samples],
    }
    numbers = getattr(module_of("data.columns", name), "image_numbers", None) if name else None
    if numbers is not None:
        found["images"] = numbers(samples)
    return found
