"""A part of a training set, for experiments on how much data a loss needs."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from reid_ext._runtime.arguments import choice, integer, number
from reid_ext.data.sample import Sample

PARTS = ("identities", "images")


def fraction(
    samples: Sequence[Sample], share: float, *, of: str = "identities", seed: int = 0
) -> list[Sample]:
    """Return a random part of ``samples``, in their order.

    With one seed a smaller part lies within a larger one, so results differ by what was added and
    not by another draw.

    Args:
        samples: A training set.
        share: In (0, 1]; counts are rounded, and never below one.
        of: ``"identities"``: some identities with all their images. ``"images"``: every identity
            with some of its images of each modality.
        seed: Of the draw.

    Raises:
        ArgumentError: ``share``, ``of`` or ``seed`` is invalid.
    """
    share = number("fraction", "share", share, most=1, above=0)
    choice("fraction", "of", of, PARTS)
    rng = np.random.default_rng(integer("fraction", "seed", seed, 0))
    if of == "identities":
        kept = set(_part(sorted({s.identity for s in samples}), share, rng))
        return [s for s in samples if s.identity in kept]
    groups = defaultdict(list)
    for index, sample in enumerate(samples):
        groups[sample.identity, sample.modality].append(index)
    chosen = sorted(i for key in sorted(groups) for i in _part(groups[key], share, rng))
    return [samples[i] for i in chosen]


def _part(items: list[int], share: float, rng: np.random.Generator) -> list[int]:
    """The first of a random order: a larger share takes the same ones and more."""
    order = rng.permutation(len(items))[: max(1, round(share * len(items)))]
    return [items[i] for i in order]
