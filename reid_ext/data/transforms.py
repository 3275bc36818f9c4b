"""Transforms from an RGB image, uint8 of shape (H, W, 3), to the input tensor of a network.

Cropping and flipping operate on bytes, where they are cheap. One look-up for each value, in a table
of 256 entries, then applies the normalisation and the change of brightness and contrast. All random
numbers come from the generator that the caller passes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, described, number

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_BYTES = np.arange(256, dtype=np.float32)


class Transform(Protocol):
    """Protocol of the transforms that :class:`Images` calls.

    A transform may also have a method ``into(image, rng, out)``. It writes the result into ``out``,
    a float32 array of shape (3, height, width), and the loader then builds batches without a copy.

    Examples:
        >>> import numpy as np
        >>> import torch
        >>> class Gray:
        ...     size = (8, 4)
        ...     def __call__(self, image, rng):
        ...         return torch.from_numpy(image).float().mean(2).expand(3, *self.size)
        >>> image = np.full((8, 4, 3), (0, 30, 90), np.uint8)
        >>> Gray()(image, np.random.default_rng(0))[:, 0, 0].tolist()
        [40.0, 40.0, 40.0]
    """

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the returned tensors, in pixels."""

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> Tensor: ...


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize ``image`` to (height, width): by area averaging or bilinear interpolation.

    Area averaging prevents aliasing but is several times slower. It is used if a side shrinks by a
    factor of two or more. Below that factor, bilinear interpolation uses every source pixel too.
    """
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= 2 * height or image.shape[1] >= 2 * width
    return cv2.resize(
        image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )


@dataclass(frozen=True)
class EvaluationTransform:
    """Resize and normalise an image, without random changes.

    Args:
        size: (height, width) of the result, in pixels.
        mean: Mean of each channel (R, G, B) for values in [0, 1]. Default: that of ImageNet.
        std: Standard deviation of each channel for values in [0, 1]. Default: that of ImageNet.

    Shape:
        image (H, W, 3), uint8, RGB, of any size; returns (3, height, width), float32.

    Raises:
        ArgumentError: ``size``, ``mean`` or ``std`` is invalid.

    Examples:
        >>> import numpy as np
        >>> from reid_ext import data
        >>> transform = data.EvaluationTransform((2, 1), mean=(0, 0, 0), std=(1, 1, 1))
        >>> image = np.full((4, 2, 3), 255, np.uint8)
        >>> transform(image).flatten().tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """

    size: tuple[int, int]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        _check_common(self, "EvaluationTransform")

    def __call__(self, image: np.ndarray, rng: np.random.Generator | None = None) -> Tensor:
        out = np.empty((3, *self.size), np.float32)
        self.into(image, rng, out)
        return torch.from_numpy(out)

    def into(self, image: np.ndarray, rng: np.random.Generator | None, out: np.ndarray) -> None:
        """Write the result into ``out``, a float32 array of shape (3, height, width)."""
        _look_up(resize(image, self.size), *_normalisation(self.mean, self.std), out)


@dataclass(frozen=True)
class TrainingTransform:
    """Resize, shift, flip, grey, normalise, change brightness and contrast, and erase a rectangle.

    Args:
        size: (height, width) of the result, in pixels.
        flip: Probability of a horizontal flip. Default: 0.5.
        pad: Largest random shift in pixels (vertical, horizontal), each below the size. The free
            border has the mean colour. Default: (10, 10).
        erase: Probability that one random rectangle is set to 0, the mean colour. Its area is 2 to
            40 % of the image, its aspect ratio 0.3 to 1 / 0.3. Default: 0.5.
        mix: Probability that a random weighted average replaces the three channels. The result has
            no colour, as an infrared image. Grey images do not change. Default: 0.
        gain: Standard deviation of the logarithm of the contrast factor, >= 0. Default: 0.
        offset: Standard deviation of the brightness change, in units of ``std``, >= 0. Default: 0.
        mean: Mean of each channel (R, G, B) for values in [0, 1]. Default: that of ImageNet.
        std: Standard deviation of each channel for values in [0, 1]. Default: that of ImageNet.

    Shape:
        image (H, W, 3), uint8, RGB, of any size; returns (3, height, width), float32.

    Raises:
        ArgumentError: An argument is out of range.

    Source:
        Zhong et al., arXiv:1708.04896, for ``erase``.

    Examples:
        >>> import numpy as np
        >>> from reid_ext import data
        >>> transform = data.TrainingTransform((8, 4), flip=1, pad=(0, 0), erase=0)
        >>> image = np.zeros((8, 4, 3), np.uint8)
        >>> image[:, 0] = 255  # a white column at the left
        >>> out = transform(image, np.random.default_rng(0))
        >>> out.shape, int(out[0, 0].argmax())  # at the right after the flip
        (torch.Size([3, 8, 4]), 3)
    """

    size: tuple[int, int]
    flip: float = 0.5
    pad: tuple[int, int] = (10, 10)
    erase: float = 0.5
    mix: float = 0.0
    gain: float = 0.0
    offset: float = 0.0
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        _check_common(self, "TrainingTransform")
        for name in ("flip", "erase", "mix"):
            number("TrainingTransform", name, getattr(self, name), 0, 1)
        for name in ("gain", "offset"):
            number("TrainingTransform", name, getattr(self, name), 0)
        if not _are_numbers(self.pad, 2) or not all(
            0 <= pad < size for pad, size in zip(self.pad, self.size, strict=True)
        ):
            requirement = f"be two numbers of pixels >= 0 and below size {self.size}"
            raise ArgumentError("TrainingTransform", "pad", requirement, described(self.pad))

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> Tensor:
        out = np.empty((3, *self.size), np.float32)
        self.into(image, rng, out)
        return torch.from_numpy(out)

    def into(self, image: np.ndarray, rng: np.random.Generator, out: np.ndarray) -> None:
        """Write the result into ``out``, a float32 array of shape (3, height, width)."""
        image = resize(image, self.size)
        flips, mixes, erases = rng.random(3) < (self.flip, self.mix, self.erase)
        if any(self.pad):
            image = self._move(image, rng)
        if flips:
            image = cv2.flip(image, 1)
        weights = rng.random(3, np.float32) if mixes else None
        scale, shift = self._light(rng)
        if weights is None:
            _look_up(image, scale, shift, out)
        else:
            planes = np.stack(cv2.split(image)).astype(np.float32)
            out[:] = np.einsum("c,chw->hw", weights / weights.sum(), planes)
            out *= scale
            out += shift
        if erases:
            _erase(out, rng)

    def _move(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Shift randomly by up to ``pad``, which equals padding all sides and cropping."""
        height, width = self.size
        down, across = (int(rng.integers(-pad, pad + 1)) for pad in self.pad)
        top, bottom, left, right = max(down, 0), max(-down, 0), max(across, 0), max(-across, 0)
        inside = image[bottom : height - top, right : width - left]
        mean = [round(255 * value) for value in self.mean]
        return cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_CONSTANT, value=mean)

    def _light(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Scale and shift of each channel: the normalisation, then gain and offset."""
        scale, shift = _normalisation(self.mean, self.std)
        if self.gain or self.offset:
            log_gain, offset = rng.standard_normal(2) * (self.gain, self.offset)
            gain = math.exp(log_gain)
            scale, shift = scale * np.float32(gain), shift * np.float32(gain) + np.float32(offset)
        return scale, shift


@lru_cache
def _normalisation(
    mean: tuple[float, float, float], std: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift (3, 1, 1) float32 that turn bytes into normalised values."""
    inverse = 1 / np.array(std, np.float64)
    scale, shift = inverse / 255, -np.array(mean) * inverse
    return scale.astype(np.float32)[:, None, None], shift.astype(np.float32)[:, None, None]


def _look_up(image: np.ndarray, scale: np.ndarray, shift: np.ndarray, out: np.ndarray) -> None:
    """Write ``image * scale + shift`` into ``out``: (h, w, 3) uint8 to (3, h, w) float32."""
    tables = _BYTES * scale[:, 0] + shift[:, 0]  # (3, 256)
    for channel, plane in enumerate(cv2.split(image)):
        cv2.LUT(plane, tables[channel], out[channel])


def _erase(out: np.ndarray, rng: np.random.Generator) -> None:
    """Set one random rectangle of ``out`` (3, h, w) to 0, the mean colour."""
    height, width = out.shape[1:]
    for _ in range(100):
        area = rng.uniform(0.02, 0.4) * height * width
        ratio = rng.uniform(0.3, 1 / 0.3)
        h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if h < height and w < width:
            top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
            out[:, top : top + h, left : left + w] = 0
            return


def _check_common(transform: EvaluationTransform | TrainingTransform, function: str) -> None:
    for name, count, least, requirement in (
        ("size", 2, 1, "be (height, width), each at least 1 pixel"),
        ("mean", 3, -math.inf, "have one number for each of the 3 channels"),
        ("std", 3, 1e-12, "have one number > 0 for each of the 3 channels"),
    ):
        values = getattr(transform, name)
        if not _are_numbers(values, count) or min(values) < least:
            raise ArgumentError(function, name, requirement, described(values))


def _are_numbers(values: object, count: int) -> bool:
    return (
        isinstance(values, Sequence)
        and len(values) == count
        and all(isinstance(value, Real) and math.isfinite(value) for value in values)
    )
