"""One labelled image file, and the splits of a dataset: what every reader returns."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

VISIBLE = 0
INFRARED = 1
SYNTHETIC_MANIFEST = "synthetic.json"  # in the folder of every rendered dataset


class Sample(NamedTuple):
    """One image file and what is known about it.

    ``identity`` and ``camera`` are the numbers of the dataset itself. ``view`` is 0 front, 1 side,
    2 back, or None where unknown. ``modality`` is 0 visible, 1 infrared.
    """

    path: Path
    identity: int
    camera: int
    view: int | None = None
    modality: int = VISIBLE


class Dataset(NamedTuple):
    """The samples to train on, and the queries and gallery to evaluate with."""

    name: str
    train: list[Sample]
    query: list[Sample]
    gallery: list[Sample]


def relabel(samples: Iterable[Sample]) -> dict[int, int]:
    """Return training labels 0..C-1 for the C identities of ``samples``, in ascending order."""
    identities = sorted({sample.identity for sample in samples})
    return {identity: label for label, identity in enumerate(identities)}
