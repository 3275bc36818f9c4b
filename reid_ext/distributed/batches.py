"""The share of every batch for each process; the global batches do not depend on their number."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import Sampler

from reid_ext.distributed.collectives import Group, rank, world_size


class ShareOfBatches(Sampler[list[Any]]):
    """This process's share of the batches of another sampler.

    Every process draws the same batches from the same seed and takes its own contiguous part of
    each. Any number of processes therefore trains on the same sequence of global batches, and a run
    may be resumed with another number of processes. If a batch is not divisible, the parts differ
    by one in size.

    Args:
        batches: Seeded batch sampler of this package, identical in every process.
        group: Process group. Default: None, the default group.

    Examples:
        >>> from reid_ext.distributed import ShareOfBatches
        >>> list(ShareOfBatches([[0, 1, 2, 3], [4, 5, 6, 7]]))  # one process takes whole batches
        [[0, 1, 2, 3], [4, 5, 6, 7]]
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
        """Return the position in the epoch, which is the same in every process."""
        state: dict[str, Any] = self.batches.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a position that :meth:`state_dict` returned."""
        self.batches.load_state_dict(state)
