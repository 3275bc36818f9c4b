"""Image files as items of a torch data set: decoding, the transform, and a cache of pixels."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils import data

from reid_ext.data.image_size import number_of_pixels
from reid_ext.data.sample import Sample
from reid_ext.data.transforms import Transform, resize

# Colour whatever the file holds, and no turning by a camera's notes: boxes were cut as stored.
_DECODE_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
MOST_PIXELS = 1 << 26  # 8192 x 8192; 200 MB in RGB
UNKNOWN_VIEW = -1  # as the viewpoint losses have it
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


def decode(path: str | Path) -> np.ndarray:
    """Read an image file.

    Returns:
        RGB values, uint8 of shape (height, width, 3), also from gray, 16-bit and transparent
        files. Turning marks (EXIF) are ignored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no image, a JPEG that ends too early, or larger than 2**26 pixels.
    """
    try:
        # Bytes and imdecode, not imread: that fails on names outside the system's code page.
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"decode: path must be an image file, got {path}, which does not exist; was the "
            "dataset moved after its lists were read?"
        ) from None
    pixels = number_of_pixels(content) or 0
    if pixels > MOST_PIXELS:
        raise ValueError(
            f"decode: path must be an image of at most {MOST_PIXELS} pixels, got {path} of {pixels}"
            "; make it smaller, or take it out of the dataset"
        )
    image = _decoded(content)
    if image is None:
        raise ValueError(
            f"decode: path must be an image that decodes, got {path} ({len(content)} bytes), which "
            "does not or only in part; copy the file again, or take it out of the dataset"
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decoded(content: bytes) -> np.ndarray | None:
    """The BGR image, or None; OpenCV itself fills the missing part of a cut JPEG with gray."""
    cut = content.startswith(_JPEG_START) and _JPEG_END not in content[-64:]
    if not content or (cut and _JPEG_END not in content):
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), _DECODE_FLAGS)
    except cv2.error:
        return None


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
        cache: Decode and resize all images now and keep them, 3 bytes per pixel of ``size``.
            Worker processes share them.

    Raises:
        FileNotFoundError, ValueError: as ``decode``; when there is a cache, here at once.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        transform: Transform,
        *,
        labels: Mapping[int, int] | None = None,
        cache: bool = False,
    ):
        self.samples = samples
        self.transform = transform
        self._paths = [str(sample.path) for sample in samples]
        self._facts = [_facts(sample, labels) for sample in samples]
        self._pixels = self._read_all() if cache else None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int, int, int, int, int]:
        index, seed = key
        pixels = decode(self._paths[index]) if self._pixels is None else self._pixels[index].numpy()
        image = self.transform(pixels, np.random.default_rng(seed))
        return image, *self._facts[index], index

    def _read_all(self) -> Tensor:
        """All images, uint8 (N, height, width, 3): a tensor, as torch shares those by itself."""
        size = self.transform.size
        pixels = torch.empty((len(self.samples), *size, 3), dtype=torch.uint8)

        def read(index: int) -> None:
            pixels[index].numpy()[:] = resize(decode(self._paths[index]), size)

        with ThreadPoolExecutor() as pool:
            for _ in pool.map(read, range(len(self.samples))):
                pass
        return pixels


def _facts(sample: Sample, labels: Mapping[int, int] | None) -> tuple[int, int, int, int]:
    """Label, camera, modality and view of one sample."""
    others = sample.camera, sample.modality, UNKNOWN_VIEW if sample.view is None else sample.view
    if labels is None:
        return sample.identity, *others
    if sample.identity not in labels:
        raise ValueError(
            f"Images: labels must have every identity of samples, got none for identity "
            f"{sample.identity} of {sample.path}; make them with data.relabel(samples)"
        )
    return labels[sample.identity], *others
