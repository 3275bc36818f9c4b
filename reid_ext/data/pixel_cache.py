"""Decoded and resized images, kept in memory or in a file that later runs map.

A file is named after what it was made of: the images' paths, sizes and times of change, and the
size they were resized to. So an image that has changed leads to another file. It is written beside
its place and moved there, so a file with that name is whole, also where two processes make it or
one is stopped; should a disk still have cut it, it is made again.
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

FORMAT = 1  # raise it when the same files give other pixels


class Pixels(Protocol):
    """The images by index, uint8 (height, width, 3), which the caller must not change."""

    def __getitem__(self, index: int) -> np.ndarray: ...


class InMemory:
    """Pixels in a tensor (N, height, width, 3), as torch shares those with worker processes."""

    def __init__(self, paths: Sequence[str], size: tuple[int, int], part: str = "whole"):
        self.pixels: Tensor = torch.empty((len(paths), *size, 3), dtype=torch.uint8)
        _read_all(paths, size, part, lambda index: self.pixels[index].numpy())

    def __getitem__(self, index: int) -> np.ndarray:
        return self.pixels[index].numpy()


class InFile:
    """Pixels in a mapped file of ``folder``, which is made first where it is not there.

    Raises:
        FileNotFoundError, ValueError: as ``decode``, for an image; then no file is left.
        OSError: no room for all pixels, or no right to write there; no file is left either.
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
        return self.path, self.shape  # a started worker maps the file itself

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
        """Make a file of all the bytes: a mapped page without room on the disk ends the process."""
        with writes("data.Images: cache", path.parent), open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, int(np.prod(self.shape)))


def _signature(paths: Sequence[str], size: tuple[int, int], part: str) -> str:
    """A name for these images as they are now."""
    facts: list[object] = [FORMAT, *size, part]
    for path in paths:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            decode(path)  # the same message as without a cache
            raise
        facts += [os.path.abspath(path), status.st_size, status.st_mtime_ns]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _read_all(
    paths: Sequence[str],
    size: tuple[int, int],
    part: str,
    place: Callable[[int], np.ndarray],
) -> None:
    """Decode every image into its place."""

    def read(index: int) -> None:
        place(index)[:] = resize(part_of(decode(paths[index]), part), size)

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(read, range(len(paths))):
            pass
