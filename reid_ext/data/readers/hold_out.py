"""Which identities to train on: no junk, no distractors, and none of those held out."""

from collections.abc import Sequence

from reid_ext._runtime.arguments import ArgumentError
from reid_ext._runtime.labels import DISTRACTOR, JUNK
from reid_ext.data.sample import VISIBLE, Dataset, Sample

EVALUATED = ("test", "val")
NOBODY = "junk (-1) and distractors (0) in train"
_ONE_IN = 6  # one in six training identities is held out


def divided_by_person(
    name: str, place: str, train: Sequence[Sample]
) -> tuple[list[Sample], list[Sample]]:
    """The training samples of persons, and those of junk and distractors.

    Raises:
        ArgumentError: There are samples, but none of a person; ``place`` is where they come from.
    """
    people = [s for s in train if s.identity not in (JUNK, DISTRACTOR)]
    if train and not people:
        requirement, got = "hold images of training identities", f"only {NOBODY}"
        raise ArgumentError(name, place, requirement, got, "number the identities from 1")
    return people, [s for s in train if s.identity in (JUNK, DISTRACTOR)]


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
