"""The rows of a set that is divided into shards, one per process, and their global order."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from reid_ext._runtime.arguments import ArgumentError, Array, alike, integers, matrix
from reid_ext.distributed.collectives import (
    Group,
    all_to_all,
    gather_rows,
    is_distributed,
    rank,
    row_counts,
    world_size,
)
from reid_ext.features import FeatureSet

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@contextmanager
def refused_together(where: str, group: Group) -> Iterator[None]:
    """If one process raises ValueError in the block, all processes raise, so that none waits.

    Raises:
        ValueError: The error of the block; in the other processes, an error that gives the number
            of the first process that raised.
    """
    refusal: ValueError | None = None
    try:
        yield
    except ValueError as error:
        refusal = error
    if is_distributed(group):
        refused = row_counts(int(refusal is not None), group, _device(group))
        if refusal is None and any(refused):
            first = refused.index(1)
            value = f"an error in process {first}"
            advice = "see the error message of that process"
            refusal = ArgumentError(where, "arguments", "be valid in every process", value, advice)
    if refusal is not None:
        raise refusal


def _device(group: Group) -> torch.device:
    """Return the device on which tensors of the group must be."""
    if dist.get_backend(group) == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def stretch(rows: int, part: int, parts: int) -> slice:
    """Return the contiguous share of one part of ``rows`` rows."""
    return slice(rows * part // parts, rows * (part + 1) // parts)


class Shard:
    """The rows of one process, features (n, D); after :meth:`join`, their places in the whole set.

    If several processes have the same row, as with a sampler that pads, only the first one counts.
    """

    length: int  # number of rows of the whole set
    mine: Tensor  # rows of this shard that count
    places: Tensor  # their places in the whole set, ascending

    def __init__(self, where: str, name: str, features: Tensor | FeatureSet, rows: Array | None):
        x = features.tensor() if isinstance(features, FeatureSet) else features
        self.where, self.name = where, name
        self.features = matrix(where, name, x, empty=True)
        self.rows = None if rows is None else self.read("rows", rows)
        self.given = {"rows": rows is not None}  # must agree in all processes

    def read(self, kind: str, values: Any) -> Tensor:
        """Return one integer for each row."""
        x, given = self.features, f"{self.name}_{kind}"
        return integers(self.where, given, values, len(x), self.name, x.device)

    def join(self, group: Group) -> None:
        """Agree with the other processes on the order of all rows.

        Raises:
            ValueError: In all processes, if feature dimensions, dtypes or the presence of arguments
                differ.
        """
        x = self.features
        counts = self._agreed_counts(group)
        first, n = sum(counts[: rank(group)]), len(x)
        here = torch.arange(first, first + n, device=x.device)
        self.wanted = gather_rows(here if self.rows is None else self.rows, group)
        order = self.wanted.argsort(stable=True)
        once = torch.ones_like(order, dtype=torch.bool)
        once[1:] = self.wanted[order][1:] != self.wanted[order][:-1]
        self._counts = counts
        self._place = torch.empty_like(order)  # for each row of each process
        self._place[order] = once.cumsum(0) - 1
        self.order = order[once]
        self.length = len(self.order)
        is_mine = (self.order >= first) & (self.order < first + n)
        self.mine, self.places = self.order[is_mine] - first, is_mine.nonzero()[:, 0]

    def _agreed_counts(self, group: Group) -> list[int]:
        """Return the number of rows of every process; checks that their kinds agree."""
        x = self.features
        if not is_distributed(group):
            return [len(x)]
        facts = [len(x), x.shape[1], _DTYPES.index(x.dtype), *self.given.values()]
        everywhere = gather_rows(torch.tensor([facts], device=x.device), group).tolist()
        counts, lengths, dtypes, *given = zip(*everywhere, strict=True)
        self._check_same("have the same feature dimension in every process", lengths)
        kinds = [_DTYPES[code] for code in dtypes]
        self._check_same("have the same dtype in every process", kinds)
        for name, values in zip(self.given, given, strict=True):
            requirement = f"have {self.name}_{name} in every process or in no process"
            self._check_same(requirement, map(bool, values))
        return list(counts)

    def _check_same(self, requirement: str, values: Iterable[Any]) -> None:
        values = list(values)
        if len(set(values)) > 1:
            got = ", ".join(map(str, values))
            raise ArgumentError(self.where, self.name, requirement, got)

    def all(self, values: Tensor, group: Group) -> Tensor:
        """Return the values of the whole set, in its order, from those of each process's rows."""
        return gather_rows(values, group)[self.order]

    def deliver(self, results: Tensor, group: Group) -> Tensor:
        """Send each process the results of its own rows; each process computed one part of them."""
        parts = world_size(group)
        mine = stretch(self.length, rank(group), parts)
        places = self._place.split(self._counts)
        theirs = [p[(p >= mine.start) & (p < mine.stop)] - mine.start for p in places]
        received = all_to_all([results[rows] for rows in theirs], self._lengths(group), group)
        own = places[rank(group)]
        makers = [stretch(self.length, part, parts) for part in range(parts)]
        at = [((own >= s.start) & (own < s.stop)).nonzero()[:, 0] for s in makers]
        out = torch.empty_like(received)
        out[torch.cat(at)] = received
        return out

    def _lengths(self, group: Group) -> list[int]:
        """Return how many of this process's rows each process computes the results of."""
        parts = world_size(group)
        own = self._place.split(self._counts)[rank(group)]
        makers = [stretch(self.length, part, parts) for part in range(parts)]
        return [int(((own >= s.start) & (own < s.stop)).sum()) for s in makers]


def check_alike(query: Shard, gallery: Shard) -> None:
    """Raise if gallery and queries of this process differ in feature dimension, dtype or device."""
    alike(query.where, "gallery", gallery.features, "query", query.features)
