"""A gallery that is read in blocks of rows: a tensor, a memory map, or blocks made on demand."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, Gallery, alike, matrix

BLOCK_BYTES = 32 << 20  # of features that are read at once


class Block(NamedTuple):
    """Consecutive rows of a gallery, starting at index ``first``."""

    first: int
    features: Tensor


class Blocks:
    """A gallery that can be iterated several times, with rows of the same kind as ``query``.

    ``length`` is the required number of rows. If it is None, any number is allowed.
    """

    def __init__(self, where: str, source: Gallery, query: Tensor, length: int | None) -> None:
        self.where, self.source, self.query, self.length = where, source, query, length

    def __iter__(self) -> Iterator[Block]:
        """Yield every row once, in order, on the device of the source."""
        first = 0
        for block in self._pieces():
            if self.length is not None and first + len(block) > self.length:
                raise self._wrong_length("more")
            yield Block(first, block)
            first += len(block)
        if self.length is not None and first < self.length:
            raise self._wrong_length(str(first))

    def _wrong_length(self, got: str) -> ArgumentError:
        requirement = f"have {self.length} rows in its blocks, as many as there are labels"
        return ArgumentError(self.where, "gallery", requirement, got)

    def _pieces(self) -> Iterator[Tensor]:
        if isinstance(self.source, Tensor | np.ndarray):
            whole = self._read(self.source)
            yield from whole.split(max(1, BLOCK_BYTES // (whole.shape[1] * whole.element_size())))
        else:
            yield from map(self._read, self.source)

    def _read(self, block: Any) -> Tensor:
        features, query = matrix(self.where, "gallery", block), self.query
        if not features.is_cuda:  # any block may be on the CPU
            query = query.new_empty(0, query.shape[1], device=features.device)
        alike(self.where, "gallery", features, "query", query)
        return features


class Upload:
    """Copies blocks from the CPU to a GPU while the previous block is in use, with two buffers."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.device = device
        self.pinned = [torch.empty(0, device="cpu") for _ in range(2)]
        self.copied = [torch.cuda.Event(), torch.cuda.Event()]

    def __call__(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Yield the blocks on the device; each is copied while the previous one is in use."""
        waiting: Block | None = None
        for turn, block in enumerate(blocks):
            ahead = Block(block.first, self._copy(turn % 2, block.features))
            if waiting is not None:
                yield self._ready(waiting, (turn - 1) % 2)
            waiting = ahead
            last = turn % 2
        if waiting is not None:
            yield self._ready(waiting, last)

    def _copy(self, buffer: int, features: Tensor) -> Tensor:
        if features.is_cuda:
            return features
        self.copied[buffer].synchronize()  # waits for the copy two blocks ago, not for its use
        if self.pinned[buffer].numel() < features.numel():
            self.pinned[buffer] = torch.empty(
                features.numel(), dtype=features.dtype, device="cpu", pin_memory=True
            )
        staged = self.pinned[buffer][: features.numel()].view(features.shape)
        staged.copy_(features)
        with torch.cuda.stream(self.stream):
            on_device = staged.to(self.device, non_blocking=True)
            self.copied[buffer].record(self.stream)
        return on_device

    def _ready(self, block: Block, buffer: int) -> Block:
        current = torch.cuda.current_stream(self.device)
        current.wait_event(self.copied[buffer])
        block.features.record_stream(current)
        return block
