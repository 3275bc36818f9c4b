"""A share of every batch for each process; the whole does not depend on how many there are."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import Sampler

from reid_ext.distributed.collectives import Group, rank, world_size


class ShareOfBatches(Sampler[list[Any]]):
    """This process's share of the batches of another sampler.

    Every process draws the same batches, from the same seed, and takes its own contiguous part of
    each, so that any number of processes trains on the same sequence of global batches, and a run
    may be resumed with another number. Parts differ by one where the batch cannot be divided.

    Args:
        batches: A seeded batch sampler of this package, alike in every process.
        group: Process group; None: the default one.
    """

    def __init__(self, batches: Any, group: Group = None):
        self.batches = batches
        self.rank, self.world_size = rank(group), world_size(group)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Any]]:
        for keys in self.batches:
            first, end = (
                len(keys) * part // self.world_size for part in (self.rank, self.rank + 1)
            )
            yield keys[first:end]

    def state_dict(self) -> dict[str, Any]:
        """The place in the epoch: the same in every process."""
        state: dict[str, Any] = self.batches.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.batches.load_state_dict(state)
