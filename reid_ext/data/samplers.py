"""Batch samplers: the images of each batch, their order, and their seeds.

The samplers yield lists of (index, seed) for ``Images``. The order of an epoch depends on (seed,
epoch) only, and the seed of an item on (seed, epoch, batch, position) only. An epoch can therefore
start at any batch, and the batches do not depend on the number of worker processes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from reid_ext._runtime.arguments import ArgumentError, integer
from reid_ext.data.readers.tree import some
from reid_ext.data.sample import INFRARED, VISIBLE, Sample, check_identities

Keys = list[tuple[int, int]]
Pool = dict[int, list[int]]  # identity -> indices of its samples


class SequentialBatches(Sampler[Keys]):
    """Batches of the indices 0..length-1 in order, for feature extraction.

    The last batch may be smaller. All seeds are 0.

    Args:
        length: Number of images, an integer >= 0.
        batch_size: Images per batch, an integer >= 1.

    Raises:
        ArgumentError: ``length`` or ``batch_size`` is invalid.

    Examples:
        >>> from reid_ext import data
        >>> list(data.SequentialBatches(length=3, batch_size=2))
        [[(0, 0), (1, 0)], [(2, 0)]]
    """

    def __init__(self, length: int, batch_size: int):
        self.length = integer("SequentialBatches", "length", length, 0)
        self.batch_size = integer("SequentialBatches", "batch_size", batch_size, 1)

    def __len__(self) -> int:
        return -(-self.length // self.batch_size)

    def __iter__(self) -> Iterator[Keys]:
        for start in range(0, self.length, self.batch_size):
            stop = min(start + self.batch_size, self.length)
            yield [(index, 0) for index in range(start, stop)]


class _PassesOverIdentities(Sampler[Keys]):
    """Batches of P identities x K images from each of one or two pools, in epochs.

    An iteration starts at the current batch and stops at the end of the epoch. The next iteration
    continues an interrupted epoch, or starts the next one. ``len`` is the length of a full epoch.
    """

    def __init__(
        self, pools: list[Pool], identities: int, images: int, batches: int | None, seed: int
    ):
        where = type(self).__name__
        self.identities = integer(
            where, "identities", identities, 1, len(pools[0]), "the number of identities in samples"
        )
        self.images = integer(where, "images", images, 1)
        self.seed = integer(where, "seed", seed, 0)
        if batches is None:
            largest = max(sum(map(len, pool.values())) for pool in pools)
            batches = -(-largest // (self.identities * self.images))
        self._batches = integer(where, "batches", batches, 1)
        self.epoch = 0
        self.batch = 0
        self._pools = pools

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[Keys]:
        epoch, first = self.epoch, self.batch
        plan = self._plan(epoch)
        for batch in range(self._batches):
            indices = next(plan)
            if batch >= first:
                self.batch = batch + 1
                words = _randomness(self.seed, epoch, batch).generate_state(len(indices), np.uint64)
                yield list(zip(indices, words.tolist(), strict=True))
        self.epoch, self.batch = epoch + 1, 0

    def _plan(self, epoch: int) -> Iterator[list[int]]:
        """Yield the indices of the batches of an epoch, without end."""
        rng = np.random.default_rng(_randomness(self.seed, epoch))
        identities = _Deck(list(self._pools[0]), rng)
        decks = [{i: _Deck(pool[i], rng) for i in pool} for pool in self._pools]
        while True:
            drawn = identities.draw(self.identities)
            yield [index for deck in decks for i in drawn for index in deck[i].draw(self.images)]

    def set_epoch(self, epoch: int) -> None:
        """Go to the first batch of ``epoch``, or stay at the current batch of the same epoch."""
        if epoch != self.epoch:
            self.epoch, self.batch = epoch, 0

    def state_dict(self) -> dict[str, int]:
        """Return the position of the next batch, and the settings of the sampler.

        Worker processes fetch batches ahead. The ``Loader`` corrects the position after each batch
        that it returns, so call this method between two batches of the loader.
        """
        return {"epoch": self.epoch, "batch": self.batch, **self._settings()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue at the position of ``state``; raise ArgumentError if the settings differ."""
        for name, mine in self._settings().items():
            if state.get(name) != mine:
                requirement = f"be {state.get(name)} as in the saved state"
                advice = "resume with the settings and images of the saved run"
                raise ArgumentError(type(self).__name__, name, requirement, str(mine), advice)
        self.epoch, self.batch = state["epoch"], state["batch"]

    def _settings(self) -> dict[str, int]:
        return {
            "seed": self.seed,
            "identities": self.identities,
            "images": self.images,
            "batches": self._batches,
            "samples": sum(len(group) for pool in self._pools for group in pool.values()),
        }


class IdentityBatches(_PassesOverIdentities):
    """Batches of P identities x K images, with the images of an identity next to each other.

    The sampler goes through the shuffled identities again and again. After any number of batches of
    an epoch, the numbers of draws of two identities differ by at most one. The same holds for the
    images of an identity. No identity occurs twice in a batch. No image occurs twice in a batch,
    unless its identity has fewer than K images: then each of them occurs at least once.

    Args:
        samples: Samples of a training set. An index is a position in this sequence.
        identities: Number P of identities in a batch, from 1 to the number of identities.
        images: Number K of images of each identity in a batch, >= 1.
        batches: Batches per epoch, >= 1. Default: None (as many as are needed to draw
            ``len(samples)`` images).
        seed: Seed of the random order, an integer >= 0. Default: 0.

    Raises:
        ArgumentError: An argument is out of range.

    Examples:
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> samples = [data.Sample(Path(f"{i}.jpg"), identity=i // 3, camera=1) for i in range(12)]
        >>> sampler = data.IdentityBatches(samples, identities=2, images=3)
        >>> len(sampler)
        2
        >>> batch = next(iter(sampler))
        >>> identities = [samples[index].identity for index, seed in batch]
        >>> len(batch), len(set(identities[:3])), len(set(identities))
        (6, 1, 2)
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        identities: int,
        images: int,
        *,
        batches: int | None = None,
        seed: int = 0,
    ):
        pools = [_pool("IdentityBatches", samples, (VISIBLE, INFRARED))]
        super().__init__(pools, identities, images, batches, seed)


class TwoModalityBatches(_PassesOverIdentities):
    """Batches of P identities x (K visible + K infrared) images.

    A batch contains P x K visible images, followed by P x K infrared images with the same order of
    identities. Each modality is sampled as in :class:`IdentityBatches`.

    Args:
        samples: Samples of a training set. An index is a position in this sequence. Every identity
            must have images of both modalities.
        identities: Number P of identities in a batch, from 1 to the number of identities.
        images: Number K of images of each identity and modality in a batch, >= 1.
        batches: Batches per epoch, >= 1. Default: None (as many as are needed to draw, from each
            modality, the number of images of the larger modality).
        seed: Seed of the random order, an integer >= 0. Default: 0.

    Raises:
        ArgumentError: An argument is out of range, or an identity has images of one modality only.

    Examples:
        >>> from pathlib import Path
        >>> from reid_ext import data
        >>> samples = [
        ...     data.Sample(Path(f"{i}.jpg"), identity=i // 4, camera=1, modality=i % 2)
        ...     for i in range(12)
        ... ]
        >>> batch = next(iter(data.TwoModalityBatches(samples, identities=3, images=1)))
        >>> [samples[index].modality for index, seed in batch]
        [0, 0, 0, 1, 1, 1]
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        identities: int,
        images: int,
        *,
        batches: int | None = None,
        seed: int = 0,
    ):
        visible, infrared = (
            _pool("TwoModalityBatches", samples, (m,)) for m in (VISIBLE, INFRARED)
        )
        for lacking, other, kind in (
            (infrared, visible, "infrared"),
            (visible, infrared, "visible"),
        ):
            without = sorted(set(other) - set(lacking))
            if without:
                argument, requirement = "every identity of samples", f"have {kind} images"
                number = "1 identity" if len(without) == 1 else f"{len(without)} identities"
                got = f"{number} without: {some(without, 10)}"
                advice = "remove the samples of these identities"
                raise ArgumentError("TwoModalityBatches", argument, requirement, got, advice)
        super().__init__([visible, infrared], identities, images, batches, seed)


class _Deck:
    """Draws items in shuffled passes without end.

    A draw repeats an item only if it is larger than the number of items.
    """

    def __init__(self, items: list[int], rng: np.random.Generator):
        self._items = items
        self._rng = rng
        self._left: list[int] = []

    def draw(self, count: int) -> list[int]:
        drawn: list[int] = []
        while len(drawn) < count:
            if not self._left:
                fresh = self._rng.permutation(self._items).tolist()
                # A stable sort: items that this draw already contains go to the end.
                self._left = sorted(fresh, key=drawn.__contains__) if drawn else fresh
            missing = count - len(drawn)
            drawn += self._left[:missing]
            self._left = self._left[missing:]
        return drawn


def _pool(function: str, samples: Sequence[Sample], modalities: tuple[int, ...]) -> Pool:
    """The indices of the images in these modalities, by identity in ascending order."""
    pool: Pool = {}
    for index, sample in enumerate(samples):
        if sample.modality in modalities:
            pool.setdefault(sample.identity, []).append(index)
    check_identities(function, pool)
    return dict(sorted(pool.items()))


def _randomness(seed: int, *place: int) -> np.random.SeedSequence:
    """An independent seed for each position.

    The position is the spawn key because the entropies (1,) and (1, 0) would give the same seed.
    """
    return np.random.SeedSequence(seed, spawn_key=place)
