"""Random parts of a training set, for experiments on how much data a loss needs."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from reid_ext._runtime.arguments import choice, integer, number
from reid_ext.data.sample import Sample

PARTS = ("identities", "images")


def fraction(
    samples: Sequence[Sample], share: float, *, of: str = "identities", seed: int = 0
) -> list[Sample]:
    """Return a random part of ``samples``, in their original order.

    With the same seed, a smaller part is a subset of a larger one. Results for two shares then
    differ by the added samples only.

    Args:
        samples: Samples of a training set.
        share: Share to keep, in (0, 1]. Counts are rounded, to at least 1.
        of: If ``"identities"``, keep some identities with all their images. If ``"images"``, keep
            every identity with some of its images of each modality. Default: ``"identities"``.
        seed: Seed of the random choice, an integer >= 0. Default: 0.

    Raises:
        ArgumentError: ``share``, ``of`` or ``seed`` is invalid.

    Examples:
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> samples = [data.Sample(Path(f"{i}.jpg"), identity=i // 4, camera=1) for i in range(16)]
        >>> half = data.fraction(samples, 0.5)
        >>> len(half), len({sample.identity for sample in half})
        (8, 2)
        >>> half = data.fraction(samples, 0.5, of="images")
        >>> len(half), len({sample.identity for sample in half})
        (8, 4)
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
    """The first items of a random order, so a larger share includes a smaller one."""
    order = rng.permutation(len(items))[: max(1, round(share * len(items)))]
    return [items[i] for i in order]
