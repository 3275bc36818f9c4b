"""From an RGB image (uint8, H x W x 3) to the tensor a network reads, with and without chance.

Cropping and flipping happen on bytes, where they are cheap; one look-up per value, in a table of
256, then does both normalisation and lighting. All chance comes from the generator.
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
    """What ``Images`` calls; ``size`` is the (height, width) of the tensors it returns.

    It may also have ``into(image, rng, out)``, which writes the same values into ``out``, a float32
    array (3, height, width): the loader then makes batches without a copy.
    """

    @property
    def size(self) -> tuple[int, int]: ...

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> Tensor: ...


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return ``image`` in (height, width): by area when halving or more, else bilinear.

    Area averaging is what prevents aliasing of fine patterns, but costs several times as much;
    below a factor of two every source pixel already counts in a bilinear sample.
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
    """Resize and normalise; draws nothing.

    Args:
        size: (height, width) of the result, in pixels.
        mean: Per channel (R, G, B), of values in [0, 1].
        std: Likewise.

    Shape:
        image (any height, any width, 3) uint8 RGB; returns (3, height, width) float32.
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
        """The same, into ``out``."""
        _look_up(resize(image, self.size), *_normalisation(self.mean, self.std), out)


@dataclass(frozen=True)
class TrainingTransform:
    """Resize, pad and crop, flip, mix channels, normalise, change the light, erase.

    Args:
        size: (height, width) of the result, in pixels.
        flip: Probability of a horizontal flip.
        pad: The image moves by up to so many pixels (vertically, horizontally); what comes in
            from outside has the mean colour.
        erase: Probability that one rectangle becomes 0, the mean: 2 to 40 % of the area, sides
            in a ratio of 0.3 to 1 / 0.3 (Zhong et al., arXiv:1708.04896).
        mix: Probability that the three channels become one random average of them. It takes
            away the colour, which no infrared camera sees; infrared images, being gray already,
            stay as they are.
        gain: Standard deviation of the logarithm of the contrast factor.
        offset: Standard deviation of the brightness change, in units of ``std``.
        mean: Per channel (R, G, B), of values in [0, 1].
        std: Likewise.

    Shape:
        image (any height, any width, 3) uint8 RGB; returns (3, height, width) float32.
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
            requirement = f"be two numbers of pixels from 0 to below size {self.size}"
            raise ArgumentError("TrainingTransform", "pad", requirement, described(self.pad))

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> Tensor:
        out = np.empty((3, *self.size), np.float32)
        self.into(image, rng, out)
        return torch.from_numpy(out)

    def into(self, image: np.ndarray, rng: np.random.Generator, out: np.ndarray) -> None:
        """The same, into ``out``."""
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
        """Shift by up to ``pad`` either way: the same as padding all round and cropping."""
        height, width = self.size
        down, across = (int(rng.integers(-pad, pad + 1)) for pad in self.pad)
        top, bottom, left, right = max(down, 0), max(-down, 0), max(across, 0), max(-across, 0)
        inside = image[bottom : height - top, right : width - left]
        mean = [round(255 * value) for value in self.mean]
        return cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_CONSTANT, value=mean)

    def _light(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Scale and shift per channel: normalisation, then gain and offset."""
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
    """Write (h, w, 3) uint8, times scale and plus shift per channel, as (3, h, w) float32."""
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
        ("size", 2, 1, "be a height and a width of 1 pixel or more"),
        ("mean", 3, -math.inf, "have one number per channel"),
        ("std", 3, 1e-12, "have one number above 0 per channel"),
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
