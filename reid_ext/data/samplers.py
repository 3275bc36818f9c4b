"""Which images make a batch, in which order, and with which seeds.

Samplers yield lists of (index, seed) for ``Images``. The order of an epoch follows from (seed,
epoch) alone, the seed of an item from (seed, epoch, batch, position): so an epoch can be entered
at any batch, and no worker process has a say in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from reid_ext._runtime.arguments import ArgumentError, integer
from reid_ext.data.readers.tree import some
from reid_ext.data.sample import INFRARED, VISIBLE, Sample

Keys = list[tuple[int, int]]
Pool = dict[int, list[int]]  # the indices of each identity


class SequentialBatches(Sampler[Keys]):
    """The indices 0..length-1 in order, to extract features; the last batch may be smaller."""

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

    Iterating goes from the current place to the end of the epoch and on to the next epoch: an
    iteration that was broken off is continued by the next one. ``len`` is that of a whole epoch.
    """

    def __init__(
        self, pools: list[Pool], identities: int, images: int, batches: int | None, seed: int
    ):
        where = type(self).__name__
        self.identities = integer(
            where, "identities", identities, 1, len(pools[0]), "the identities of samples"
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
        """The indices of one batch after the other, without end."""
        rng = np.random.default_rng(_randomness(self.seed, epoch))
        identities = _Deck(list(self._pools[0]), rng)
        decks = [{i: _Deck(pool[i], rng) for i in pool} for pool in self._pools]
        while True:
            drawn = identities.draw(self.identities)
            yield [index for deck in decks for i in drawn for index in deck[i].draw(self.images)]

    def set_epoch(self, epoch: int) -> None:
        """Go to the first batch of ``epoch``; when in that epoch already, stay in place."""
        if epoch != self.epoch:
            self.epoch, self.batch = epoch, 0

    def state_dict(self) -> dict[str, int]:
        """The place of the next batch, and the settings that give it its meaning.

        Worker processes fetch ahead, so with them ask the ``Loader``: it counts the batches that
        were handed out.
        """
        return {"epoch": self.epoch, "batch": self.batch, **self._settings()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where ``state`` was taken; ArgumentError if the settings differ."""
        for name, mine in self._settings().items():
            if state.get(name) != mine:
                requirement = f"be {state.get(name)} as in the saved state"
                advice = "resume with the settings and images of the first run"
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
    """Batches of P identities x K images, those of an identity side by side.

    Identities come in shuffled passes, so that after any number of batches of an epoch each has
    been drawn equally often, give or take one; so do the images of an identity. No batch holds an
    identity twice, nor an image, unless its identity has fewer than K: then each image is there
    at least once, and some again.

    Args:
        samples: What the indices count.
        identities: P, at most the number of identities.
        images: K.
        batches: Length of an epoch; None: as many as it takes to draw ``len(samples)`` images.
        seed: 0 or more.
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
        pools = [_pool(samples, (VISIBLE, INFRARED))]
        super().__init__(pools, identities, images, batches, seed)


class TwoModalityBatches(_PassesOverIdentities):
    """Batches of P identities x (K visible + K infrared) images.

    First the P x K visible ones, then, in the same order of identities, the infrared ones.
    Otherwise as ``IdentityBatches``.

    Args:
        samples: What the indices count; every identity needs images of both modalities.
        identities: P, at most the number of identities.
        images: K, for each modality.
        batches: Length of an epoch; None: as many as it takes to draw as many images of each
            modality as the larger one has.
        seed: 0 or more.
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
        visible, infrared = _pool(samples, (VISIBLE,)), _pool(samples, (INFRARED,))
        for lacking, other, kind in (
            (infrared, visible, "infrared"),
            (visible, infrared, "visible"),
        ):
            without = sorted(set(other) - set(lacking))
            if without:
                argument, requirement = "every identity of samples", f"have {kind} images"
                got = f"none for {len(without)}: {some(without, 10)}"
                advice = "leave these identities out"
                raise ArgumentError("TwoModalityBatches", argument, requirement, got, advice)
        super().__init__([visible, infrared], identities, images, batches, seed)


class _Deck:
    """Items drawn in endless shuffled passes; no item twice in one draw while others are left."""

    def __init__(self, items: list[int], rng: np.random.Generator):
        self._items = items
        self._rng = rng
        self._left: list[int] = []

    def draw(self, count: int) -> list[int]:
        drawn: list[int] = []
        while len(drawn) < count:
            if not self._left:
                fresh = self._rng.permutation(self._items).tolist()
                # Stable: what this draw holds already waits until the others have had their turn.
                self._left = sorted(fresh, key=drawn.__contains__) if drawn else fresh
            missing = count - len(drawn)
            drawn += self._left[:missing]
            self._left = self._left[missing:]
        return drawn


def _pool(samples: Sequence[Sample], modalities: tuple[int, ...]) -> Pool:
    """The indices of each identity's images of these modalities, identities ascending."""
    pool: Pool = {}
    for index, sample in enumerate(samples):
        if sample.modality in modalities:
            pool.setdefault(sample.identity, []).append(index)
    return dict(sorted(pool.items()))


def _randomness(seed: int, *place: int) -> np.random.SeedSequence:
    """Independent randomness for each place; as entropy, (1,) and (1, 0) would be the same."""
    return np.random.SeedSequence(seed, spawn_key=place)
