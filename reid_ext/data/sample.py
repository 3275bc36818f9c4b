"""Labelled image files and the splits of a dataset, which every reader returns."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from reid_ext._runtime.arguments import ArgumentError

VISIBLE = 0
INFRARED = 1
SYNTHETIC_MANIFEST = "synthetic.json"  # in the folder of every synthetic dataset
SYNTHETIC_SEED = 1  # of the identities in training scripts, ``data synthesize`` and the documents


class Sample(NamedTuple):
    """One image file with its identity, camera, view and modality.

    Attributes:
        path: Path of the image.
        identity: Identity number of the dataset.
        camera: Camera number of the dataset.
        view: 0 for front, 1 for side, 2 for back, or None if unknown.
        modality: 0 (``VISIBLE``) or 1 (``INFRARED``).

    Examples:
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> sample = data.Sample(Path("query/0002_c1s1_000451_03.jpg"), identity=2, camera=1)
        >>> sample.identity, sample.camera, sample.view, sample.modality == data.VISIBLE
        (2, 1, None, True)
    """

    path: Path
    identity: int
    camera: int
    view: int | None = None
    modality: int = VISIBLE
    label: str = ""  # the identity as its reader found it, if ``identity`` is another number


class _Splits(NamedTuple):
    name: str
    train: list[Sample]
    query: list[Sample]
    gallery: list[Sample]


class Dataset(_Splits):
    """The training samples, the queries and the gallery of a dataset.

    Attributes:
        left_out: For each reason, the images of the splits that the reader left out.

    Examples:
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> sample = data.Sample(Path("a.jpg"), identity=2, camera=1)
        >>> dataset = data.Dataset("mine", train=[sample], query=[], gallery=[])
        >>> dataset.name, len(dataset.train), len(dataset.query)
        ('mine', 1, 0)
    """

    left_out: Mapping[str, Sequence[Path]] = MappingProxyType({})

    def without(self, reason: str, samples: Iterable[Sample]) -> "Dataset":
        """Return the dataset with a note on the samples that the reader has left out."""
        paths = [sample.path for sample in samples]
        found = Dataset(*self)
        found.left_out = {**self.left_out, **({reason: paths} if paths else {})}
        return found


def relabel(samples: Iterable[Sample]) -> dict[int, int]:
    """Return training labels 0..C-1 for the C identities of ``samples``, in ascending order.

    Args:
        samples: Samples of a training set.

    Returns:
        Mapping from identity to label.

    Raises:
        ArgumentError: an identity is negative, which means junk or an outlier of a clustering.

    Examples:
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> samples = [data.Sample(Path("a.jpg"), identity, camera=1) for identity in (9, 4, 9)]
        >>> data.relabel(samples)
        {4: 0, 9: 1}
    """
    identities = sorted({sample.identity for sample in samples})
    check_identities("relabel", identities)
    return {identity: label for label, identity in enumerate(identities)}


def check_identities(function: str, identities: Iterable[int]) -> None:
    """Raise ArgumentError if an identity of training samples is negative."""
    lowest = min(identities, default=0)
    if lowest < 0:
        advice = "leave these samples out: [s for s in samples if s.identity >= 0]"
        requirement = "have identities >= 0, because negative ones are junk or outliers"
        raise ArgumentError(function, "samples", requirement, str(lowest), advice)
