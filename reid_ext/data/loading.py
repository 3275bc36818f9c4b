"""Batches of images, prepared by worker processes."""

import signal
import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, NamedTuple

import cv2
import torch
from torch import Tensor
from torch.utils import data

from reid_ext._runtime.arguments import integer
from reid_ext.data.images import Images
from reid_ext.data.samplers import Keys


class Batch(NamedTuple):
    """images (N, 3, H, W) float32; the rest (N,) int64, views -1 where not known."""

    images: Tensor
    labels: Tensor
    cameras: Tensor
    modalities: Tensor
    views: Tensor
    indices: Tensor


def loader(
    images: Images,
    batch_sampler: data.Sampler[Keys],
    workers: int = 0,
    *,
    device: str | torch.device = "cpu",
) -> "Loader":
    """Return an iterable of the ``Batch``es that ``batch_sampler`` names.

    Args:
        images: Where the keys (index, seed) of the sampler lead.
        batch_sampler: One of this package, or anything that yields lists of keys.
        workers: Processes that read images, kept from epoch to epoch; 0: this one.
        device: Where the batches will go; for a CUDA device they are in pinned memory, ready for
            ``.to(device, non_blocking=True)``. They are not moved.

    Raises:
        FileNotFoundError, ValueError: while iterating, for an image that does not decode; the
            same short message from a worker as from this process.
        ChildProcessError: while iterating, a worker died.
    """
    workers = integer("loader", "workers", workers, 0)
    batches: data.DataLoader = data.DataLoader(
        _Batches(images),
        sampler=batch_sampler,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        worker_init_fn=_prepare_worker,
        persistent_workers=workers > 0,
        pin_memory=torch.device(device).type == "cuda",
    )
    return Loader(batches, batch_sampler)


class Loader:
    """An iterable of batches that keeps the sampler's place true.

    Workers fetch ahead, and the sampler's place with them. Here it is set back, so that whenever a
    batch is in the caller's hands ``batch_sampler.state_dict()`` is the place of the next one.
    """

    def __init__(self, batches: data.DataLoader, batch_sampler: Any):
        self._batches = batches
        self._sampler = batch_sampler

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[Batch]:
        resumable = hasattr(self._sampler, "load_state_dict")
        place = self._sampler.state_dict() if resumable else {}
        for count, batch in enumerate(_from_living_workers(self._batches), start=1):
            if isinstance(batch, Exception):
                try:
                    raise batch
                finally:
                    del batch  # else error and frame hold each other, and with them the workers
            if resumable:
                self._sampler.load_state_dict({**place, "batch": place["batch"] + count})
            yield batch
        if resumable:
            self._sampler.load_state_dict({**place, "epoch": place["epoch"] + 1, "batch": 0})


def _from_living_workers(batches: Iterable[Any]) -> Iterator[Any]:
    """The same; a worker's death becomes an OSError, of which a script makes one line."""
    try:
        yield from batches
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ChildProcessError(
            f"loader: workers must live as long as the loader, got one that died ({error}); "
            "it may have run out of memory: take fewer workers, or 0"
        ) from error


class _Batches(data.Dataset):
    """The item of a list of keys is their batch, or the error that the caller shall see.

    torch would wrap an error of a worker in a traceback; returned as a value it stays one line.
    """

    def __init__(self, images: Images):
        self._images = images

    def __getitem__(self, keys: Keys) -> Batch | Exception:
        try:
            if hasattr(self._images, "batch"):
                return Batch(*self._images.batch(keys))
            return Batch(*data.default_collate([self._images[key] for key in keys]))
        except (OSError, ValueError) as error:
            return error


def _as_it_is(batch: Any) -> Any:
    return batch


def _prepare_worker(worker: int) -> None:
    """One thread per worker; Ctrl-C is for the main process, which then ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _say_unless_left
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _say_unless_left(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """What ends a thread of a worker, but for the main process leaving in the middle of a batch.

    It does so after Ctrl-C, and the thread that hands batches over would print a traceback.
    """
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)
