"""A validation split for datasets that have none: some identities are not trained on."""

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.data.sample import VISIBLE, Dataset, Sample

EVALUATED = ("test", "val")
_ONE_IN = 6  # training identities


def hold_out(name: str, train: list[Sample]) -> Dataset:
    """Hold out the last sixth of the training identities to choose settings by.

    Their first image in each camera is a query, all others are the gallery.
    """
    identities, held_out = _divided(name, train)
    query: list[Sample] = []
    gallery: list[Sample] = []
    seen = set()
    for sample in train:
        if sample.identity in held_out:
            key = sample.identity, sample.camera
            (gallery if key in seen else query).append(sample)
            seen.add(key)
    return Dataset(name, [s for s in train if s.identity in identities], query, gallery)


def hold_out_by_modality(name: str, train: list[Sample]) -> Dataset:
    """The same for two modalities: the visible images are the queries, the others the gallery."""
    identities, held_out = _divided(name, train)
    evaluated = [s for s in train if s.identity in held_out]
    query = [s for s in evaluated if s.modality == VISIBLE]
    gallery = [s for s in evaluated if s.modality != VISIBLE]
    return Dataset(name, [s for s in train if s.identity in identities], query, gallery)


def _divided(name: str, train: list[Sample]) -> tuple[set[int], set[int]]:
    """The identities to train on, and those held out."""
    identities = sorted({s.identity for s in train})
    if len(identities) < 2 * _ONE_IN:
        requirement = f"have {2 * _ONE_IN} training identities or more"
        raise ArgumentError(name, "evaluate_on='val'", requirement, str(len(identities)))
    first = len(identities) - len(identities) // _ONE_IN
    return set(identities[:first]), set(identities[first:])
