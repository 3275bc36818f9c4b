"""Caches of decoded and resized images, in memory or in a file that later runs map.

The name of the file is a hash of the paths, sizes and modification times of the images, and of the
size they are resized to. A changed image therefore leads to another file. A new file is written
under a temporary name and then renamed, so a file with the final name is complete, even if two
processes write it or one is interrupted. A file of the wrong size is written again.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from reid_ext._runtime.writing import whole_file, writes
from reid_ext.data.decoding import decode, part_of
from reid_ext.data.transforms import resize

FORMAT = 2  # increase this when the same files give other pixels


class Pixels(Protocol):
    """Images by index, uint8 of shape (height, width, 3); the caller must not modify them."""

    def __getitem__(self, index: int) -> np.ndarray: ...


class InMemory:
    """Pixels in a tensor (N, height, width, 3), which torch shares with worker processes."""

    def __init__(self, paths: Sequence[str], size: tuple[int, int], part: str = "whole"):
        self.pixels: Tensor = torch.empty((len(paths), *size, 3), dtype=torch.uint8)
        _read_all(paths, size, part, lambda index: self.pixels[index].numpy())

    def __getitem__(self, index: int) -> np.ndarray:
        return self.pixels[index].numpy()


class InFile:
    """Pixels in a memory-mapped file of ``folder``; a missing file is written first.

    Raises:
        FileNotFoundError, ArgumentError: An image does not exist or does not decode, as in
            ``decode``. No file remains.
        OSError: The disk is full or the folder is not writable. No file remains.
    """

    def __init__(
        self,
        paths: Sequence[str],
        size: tuple[int, int],
        folder: str | Path,
        part: str = "whole",
    ):
        self.shape: tuple[int, ...] = (len(paths), *size, 3)
        self.path = Path(folder) / f"{_signature(paths, size, part)}.pixels"
        if not self._is_whole():
            self._write(paths, size, part)
        self._open()

    def __getitem__(self, index: int) -> np.ndarray:
        return self._pixels[index]

    def __getstate__(self) -> tuple[Path, tuple[int, ...]]:
        return self.path, self.shape  # a worker process maps the file again

    def __setstate__(self, state: tuple[Path, tuple[int, ...]]) -> None:
        self.path, self.shape = state
        self._open()

    def _is_whole(self) -> bool:
        return self.path.is_file() and self.path.stat().st_size == int(np.prod(self.shape))

    def _open(self) -> None:
        self._pixels = np.memmap(self.path, np.uint8, "r", shape=self.shape)

    def _write(self, paths: Sequence[str], size: tuple[int, int], part: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as unfinished:
            self._take_room(unfinished)
            pixels = np.memmap(unfinished, np.uint8, "r+", shape=self.shape)
            _read_all(paths, size, part, pixels.__getitem__)
            pixels.flush()

    def _take_room(self, path: Path) -> None:
        """Reserve the disk space first: writing to a map on a full disk would kill the process."""
        with writes("data.Images: cache", path.parent), open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, int(np.prod(self.shape)))


def _signature(paths: Sequence[str], size: tuple[int, int], part: str) -> str:
    """A hash of the images in their current state."""
    facts: list[object] = [FORMAT, *size, part]
    for path in paths:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            decode(path)  # raises the same error as without a cache
            raise
        facts += [os.path.abspath(path), status.st_size, status.st_mtime_ns]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _read_all(
    paths: Sequence[str],
    size: tuple[int, int],
    part: str,
    place: Callable[[int], np.ndarray],
) -> None:
    """Decode and resize every image into its row of the cache."""

    def read(index: int) -> None:
        place(index)[:] = resize(part_of(decode(paths[index]), part), size)

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(read, range(len(paths))):
            pass
