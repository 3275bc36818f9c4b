"""A part of a training set, for experiments on how much data a loss needs."""

from collections import defaultdict
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np

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
        ValueError: a share outside (0, 1], another ``of``, or a seed that is none.
    """
    if not isinstance(share, Real) or not 0 < share <= 1:
        raise ValueError(f"fraction: share must be in (0, 1], got {share!r:.60}")
    if not isinstance(of, str) or of not in PARTS:
        parts = ", ".join(map(repr, PARTS))
        raise ValueError(f"fraction: of must be one of {parts}, got {of!r:.60}")
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"fraction: seed must be an integer >= 0, got {seed!r:.60}")
    rng = np.random.default_rng(seed)
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
