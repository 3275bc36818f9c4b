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
    """One batch of images with their labels.

    Attributes:
        images: Transformed images of shape (N, 3, H, W), float32.
        labels: Labels of shape (N,), int64, as are all other columns.
        cameras: Camera numbers.
        modalities: 0 for visible, 1 for infrared.
        views: 0 for front, 1 for side, 2 for back, -1 if unknown.
        indices: Positions of the samples in ``Images.samples``.

    Examples:
        >>> import torch
        >>> from reid_ext import data
        >>> column = torch.zeros(2, dtype=torch.int64)
        >>> batch = data.Batch(torch.zeros(2, 3, 8, 4), *[column] * 5)
        >>> batch.images.shape, batch.views.shape
        (torch.Size([2, 3, 8, 4]), torch.Size([2]))
    """

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
    """Return an iterable of :class:`Batch`, one for each list of keys of ``batch_sampler``.

    Args:
        images: Dataset whose items have the keys (index, seed).
        batch_sampler: A sampler of this package, or any iterable of lists of keys.
        workers: Number of worker processes that read images; they stay alive between epochs.
            Default: 0 (the current process reads the images).
        device: Device on which the batches will be used. For a CUDA device the batches are in
            pinned memory, ready for ``.to(device, non_blocking=True)``. The loader does not move
            them. Default: ``"cpu"``.

    Raises:
        ArgumentError: ``workers`` is not an integer >= 0; or, during iteration, an image does not
            decode.
        FileNotFoundError: During iteration, an image does not exist.
        ChildProcessError: During iteration, a worker process died.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import cv2
        >>> import numpy as np
        >>> from reid_ext import data
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.png")
        ...     _ = cv2.imwrite(str(path), np.zeros((8, 4, 3), np.uint8))
        ...     samples = [data.Sample(path, identity, camera=1) for identity in (5, 6, 7)]
        ...     images = data.Images(samples, data.EvaluationTransform((8, 4)))
        ...     batches = data.loader(images, data.SequentialBatches(len(images), 2))
        ...     labels = [batch.labels.tolist() for batch in batches]
        >>> labels
        [[5, 6], [7]]
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
    """An iterable of batches that keeps the position of its sampler correct; see :func:`loader`.

    Worker processes fetch batches ahead, which moves the sampler forward. The loader sets the
    sampler back: after each batch, ``batch_sampler.state_dict()`` is the position of the next one.

    Args:
        batches: The torch loader of the batches.
        batch_sampler: The sampler of these batches.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import cv2
        >>> import numpy as np
        >>> from reid_ext import data
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.png")
        ...     _ = cv2.imwrite(str(path), np.zeros((8, 4, 3), np.uint8))
        ...     samples = [data.Sample(path, identity, camera=1) for identity in (5, 6, 7)]
        ...     images = data.Images(samples, data.EvaluationTransform((8, 4)))
        ...     sampler = data.IdentityBatches(samples, identities=2, images=1, batches=3)
        ...     batches = data.loader(images, sampler)
        ...     batch = next(iter(batches))
        >>> len(batches), len(batch.labels), sampler.state_dict()["batch"]
        (3, 2, 1)
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
                    del batch  # a cycle of error and frame would keep the workers alive
            if resumable:
                self._sampler.load_state_dict({**place, "batch": place["batch"] + count})
            yield batch
        if resumable:
            self._sampler.load_state_dict({**place, "epoch": place["epoch"] + 1, "batch": 0})


def _from_living_workers(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield the batches; the death of a worker raises an OSError, which scripts print as a line."""
    try:
        yield from batches
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ChildProcessError(
            f"loader: workers must run to the end, got a worker process that died ({error}); if "
            "it ran out of memory, use fewer workers, or workers=0"
        ) from error


class _Batches(data.Dataset):
    """Maps a list of keys to their batch, or to the error that reading them raised.

    torch would add the traceback of the worker to the message. An error that is returned as a value
    keeps its own message.
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
    """Use one thread per worker, and ignore Ctrl-C: the main process ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _say_unless_left
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _say_unless_left(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print the error of a worker's thread, unless the main process closed the connection.

    After Ctrl-C the main process ends in the middle of a batch. The thread that sends the batches
    would then print a traceback.
    """
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)
