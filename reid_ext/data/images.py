"""The torch dataset of image files: decoding, the transform, and the pixel cache."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils import data

from reid_ext._runtime.arguments import ArgumentError, choice
from reid_ext.data.decoding import PARTS, decode, part_of
from reid_ext.data.pixel_cache import InFile, InMemory, Pixels
from reid_ext.data.sample import Sample
from reid_ext.data.transforms import Transform

UNKNOWN_VIEW = -1  # the value that the viewpoint losses ignore


class Images(data.Dataset):
    """A torch dataset of the transformed images of ``samples``, with their labels.

    The key of an item is ``(index, seed)``. The seed alone determines the random augmentation, so
    an item does not depend on the worker process that prepares it. The item is ``(image, label,
    camera, modality, view, index)``: the image has shape (3, height, width), float32; the other
    values are ints. The view is -1 if it is unknown.

    Args:
        samples: Samples to read. ``index`` is the position in this sequence.
        transform: Callable ``transform(image, rng)`` for RGB images, uint8 of shape (h, w, 3). Its
            attribute ``size`` is the (height, width) of the tensor that it returns.
        labels: Mapping from identity to label, as :func:`relabel` returns it. Default: None (the
            label is the identity).
        cache: If True, decode and resize all images now and keep them in memory, 3 bytes for each
            pixel of ``size``. If a folder, keep them in a file of that folder, which later runs
            with the same unchanged images open again. Worker processes share the cache. Default:
            False (each access decodes the image).
        part: Part of each image to use: ``"whole"``, or one third of its rows (``"top"``,
            ``"middle"`` or ``"bottom"``). Default: ``"whole"``.

    Raises:
        FileNotFoundError: An image does not exist. Raised on access, or at once with a cache.
        ArgumentError: An image does not decode (on access, or at once with a cache), ``part`` is
            unknown, or ``labels`` does not have every identity of ``samples``.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import cv2
        >>> import numpy as np
        >>> from reid_ext import data
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.png")
        ...     _ = cv2.imwrite(str(path), np.zeros((8, 4, 3), np.uint8))
        ...     samples = [data.Sample(path, identity=7, camera=2)]
        ...     transform = data.EvaluationTransform((8, 4))
        ...     images = data.Images(samples, transform, labels=data.relabel(samples))
        ...     image, *rest = images[0, 0]  # sample 0 with seed 0
        >>> image.shape, rest  # label, camera, modality, view, index
        (torch.Size([3, 8, 4]), [0, 2, 0, -1, 0])
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        transform: Transform,
        *,
        labels: Mapping[int, int] | None = None,
        cache: bool | str | Path = False,
        part: str = "whole",
    ):
        self.part = choice("Images", "part", part, PARTS)
        self.samples = samples
        self.transform = transform
        self._paths = [str(sample.path) for sample in samples]
        self._facts = [_facts(sample, labels) for sample in samples]
        self._pixels = self._cached(cache)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int, int, int, int, int]:
        index, seed = key
        image = self.transform(self._image(index), np.random.default_rng(seed))
        return image, *self._facts[index], index

    def batch(self, keys: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Return the items of ``keys``, with each field in one tensor.

        If the transform has a method ``into``, it writes the images directly into the batch, which
        saves a copy.
        """
        into = getattr(self.transform, "into", None)
        if into is None or not keys:
            return data.default_collate([self[key] for key in keys])
        images = _new_batch((len(keys), 3, *self.transform.size))
        for out, (index, seed) in zip(images.numpy(), keys, strict=True):
            into(self._image(index), np.random.default_rng(seed), out)
        facts = [(*self._facts[index], index) for index, _ in keys]
        return [images, *torch.tensor(facts).T.contiguous()]

    def _image(self, index: int) -> np.ndarray:
        if self._pixels is not None:
            return self._pixels[index]
        return part_of(decode(self._paths[index]), self.part)

    def _cached(self, cache: bool | str | Path) -> Pixels | None:
        if cache is False or not self._paths:
            return None
        if cache is True:
            return InMemory(self._paths, self.transform.size, self.part)
        return InFile(self._paths, self.transform.size, cache, self.part)


def _new_batch(shape: tuple[int, ...]) -> Tensor:
    """An uninitialised float32 tensor, in shared memory if a worker process prepares the batch.

    The main process then receives the tensor without a copy.
    """
    if data.get_worker_info() is None:
        return torch.empty(shape)
    # torch's own collate function does the same. share_memory_() would copy the empty tensor.
    storage = torch.UntypedStorage._new_shared(4 * math.prod(shape), device="cpu")
    return torch.empty(0).set_(storage).view(shape)


def _facts(sample: Sample, labels: Mapping[int, int] | None) -> tuple[int, int, int, int]:
    """Label, camera, modality and view of one sample."""
    others = sample.camera, sample.modality, UNKNOWN_VIEW if sample.view is None else sample.view
    if labels is None:
        return sample.identity, *others
    if sample.identity not in labels:
        requirement = "have a label for every identity of samples"
        got = f"no label for identity {sample.identity} of {sample.path}"
        advice = "create the labels with data.relabel(samples)"
        raise ArgumentError("Images", "labels", requirement, got, advice)
    return labels[sample.identity], *others
