"""From an image file to its pixels."""

import os
import stat
from pathlib import Path

import cv2
import numpy as np

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.data.image_size import number_of_pixels

# Colour whatever the file holds, and no turning by a camera's notes: boxes were cut as stored.
_DECODE_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
MOST_PIXELS = 1 << 26  # 8192 x 8192; 200 MB in RGB
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"

PARTS = ("whole", "top", "middle", "bottom")


def part_of(image: np.ndarray, part: str) -> np.ndarray:
    """Return one third of the rows of an image, or the whole; a view."""
    if part == "whole":
        return image
    third = PARTS.index(part) - 1
    height = len(image)
    return image[third * height // 3 : max((third + 1) * height // 3, third * height // 3 + 1)]


def decode(path: str | Path) -> np.ndarray:
    """Read an image file.

    Returns:
        RGB values, uint8 of shape (height, width, 3), also from gray, 16-bit and transparent
        files. Turning marks (EXIF) are ignored.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is no image, a JPEG that ends too early, or larger than 2**26 pixels;
            or it is a pipe or a device, which might never end.
    """
    try:
        content = _content(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"decode: path must be an image file, got {path}, which does not exist; was the "
            "dataset moved after its lists were read?"
        ) from None
    pixels = number_of_pixels(content) or 0
    if pixels > MOST_PIXELS:
        requirement = f"be an image of at most {MOST_PIXELS} pixels"
        advice = "make it smaller, or take it out of the dataset"
        raise ArgumentError("decode", "path", requirement, f"{path} of {pixels}", advice)
    image = _decoded(content)
    if image is None:
        got = f"{path} ({len(content)} bytes), which does not or only in part"
        advice = "copy the file again, or take it out of the dataset"
        raise ArgumentError("decode", "path", "be an image that decodes", got, advice)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _content(path: str | Path) -> bytes:
    # Bytes and imdecode, not imread: that fails on names outside the system's code page.
    with open(path, "rb", opener=_opened_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            got, advice = f"{path}, a pipe or a device", "take it out of the dataset"
            raise ArgumentError("decode", "path", "be a regular file", got, advice)
        return file.read()


def _opened_at_once(path: str, flags: int) -> int:
    """A pipe that nobody writes to keeps no one waiting."""
    return os.open(path, flags | os.O_NONBLOCK)


def _decoded(content: bytes) -> np.ndarray | None:
    """The BGR image, or None; OpenCV itself fills the missing part of a cut JPEG with gray."""
    cut = content.startswith(_JPEG_START) and _JPEG_END not in content[-64:]
    if not content or (cut and _JPEG_END not in content):
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), _DECODE_FLAGS)
    except cv2.error:
        return None
