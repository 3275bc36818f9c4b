"""Validation splits for datasets without one: holds out training identities."""

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.data.sample import VISIBLE, Dataset, Sample

EVALUATED = ("test", "val")
_ONE_IN = 6  # one in six training identities is held out


def hold_out(name: str, train: list[Sample]) -> Dataset:
    """Hold out the last sixth of the training identities, to choose hyperparameters on.

    Their first image in each camera is a query; all others are in the gallery.
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
    """Hold out identities with two modalities: visible images are queries, infrared the gallery."""
    identities, held_out = _divided(name, train)
    evaluated = [s for s in train if s.identity in held_out]
    query = [s for s in evaluated if s.modality == VISIBLE]
    gallery = [s for s in evaluated if s.modality != VISIBLE]
    return Dataset(name, [s for s in train if s.identity in identities], query, gallery)


def _divided(name: str, train: list[Sample]) -> tuple[set[int], set[int]]:
    """The identities that remain for training, and those that are held out."""
    identities = sorted({s.identity for s in train})
    if len(identities) < 2 * _ONE_IN:
        requirement = f"have at least {2 * _ONE_IN} identities for evaluate_on='val'"
        got, advice = str(len(identities)), "use evaluate_on='test'"
        raise ArgumentError(name, "the training split", requirement, got, advice)
    first = len(identities) - len(identities) // _ONE_IN
    return set(identities[:first]), set(identities[first:])
