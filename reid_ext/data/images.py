"""Image files as items of a torch data set: decoding, the transform, and a cache of pixels."""

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

UNKNOWN_VIEW = -1  # as the viewpoint losses have it


class Images(data.Dataset):
    """The images of ``samples``, transformed, with what is known about them.

    The key of an item is ``(index, seed)``, so that what chance does to an image depends on the
    seed alone and not on the process that prepares it. The item is ``(image, label, camera,
    modality, view, index)``: image (3, height, width) float32, the rest ints; view -1: not known.

    Args:
        samples: What ``index`` counts.
        transform: ``transform(image, rng)`` for an RGB image, uint8 (h, w, 3); its ``size`` is the
            size it returns.
        labels: From identity to label, as ``relabel`` gives it; None: the label is the identity.
        cache: Decode and resize all images now and keep them, 3 bytes per pixel of ``size``; True:
            in memory; a folder: in a file there, which later runs with the same unchanged images
            only open. Worker processes share either.
        part: ``"whole"``, or ``"top"``, ``"middle"`` or ``"bottom"``: that third of each image.

    Raises:
        FileNotFoundError, ValueError: as ``decode``; when there is a cache, here at once.
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
        """The items of ``keys``, each field in one tensor.

        A transform with ``into`` writes its images where they stay, which saves a copy.
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
    """Room for float32 images; a worker's is in shared memory, to be handed over without a copy."""
    if data.get_worker_info() is None:
        return torch.empty(shape)
    # As torch's own collate does: share_memory_() would copy what is not even written yet.
    storage = torch.UntypedStorage._new_shared(4 * math.prod(shape), device="cpu")
    return torch.empty(0).set_(storage).view(shape)


def _facts(sample: Sample, labels: Mapping[int, int] | None) -> tuple[int, int, int, int]:
    """Label, camera, modality and view of one sample."""
    others = sample.camera, sample.modality, UNKNOWN_VIEW if sample.view is None else sample.view
    if labels is None:
        return sample.identity, *others
    if sample.identity not in labels:
        requirement = "have every identity of samples"
        got = f"none for identity {sample.identity} of {sample.path}"
        advice = "make them with data.relabel(samples)"
        raise ArgumentError("Images", "labels", requirement, got, advice)
    return labels[sample.identity], *others
