"""Decoding of image files: one function for training, extraction, reports and figures."""

import os
import stat
from pathlib import Path

import cv2
import numpy as np

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.data.image_size import number_of_pixels

_COLOURS = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH  # without alpha, turned as EXIF says
MOST_PIXELS = 1 << 26  # 8192 x 8192; 200 MB in RGB
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_PNG_START, _PNG_WITH_ALPHA = b"\x89PNG\r\n\x1a\n", (4, 6)  # colour types
_TIFF_STARTS = (b"II*\0", b"MM\0*")

PARTS = ("whole", "top", "middle", "bottom")


def part_of(image: np.ndarray, part: str) -> np.ndarray:
    """Return the whole image, or one third of its rows; a view of the same memory."""
    if part == "whole":
        return image
    third = PARTS.index(part) - 1
    height = len(image)
    return image[third * height // 3 : max((third + 1) * height // 3, third * height // 3 + 1)]


def decode(path: str | Path) -> np.ndarray:
    """Read an image file.

    Args:
        path: Path of the image, at most 2**26 pixels, in a format that OpenCV reads.

    Returns:
        RGB values, uint8 of shape (height, width, 3). The EXIF orientation is applied. Grey,
        palette and CMYK images are converted. Transparent pixels are blended with black. Images
        with more than 8 bits, such as thermal ones, are scaled linearly: the lowest value of the
        image becomes 0 and the highest 255.

    Raises:
        FileNotFoundError: The file does not exist.
        ArgumentError: The file does not decode, is a truncated JPEG, has more than 2**26 pixels,
            or is a pipe or a device.

    Examples:
        >>> import tempfile
        >>> import cv2
        >>> import numpy as np
        >>> from reid_ext import data
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f"{folder}/red.png"
        ...     _ = cv2.imwrite(path, np.full((4, 2, 3), (0, 0, 255), np.uint8))  # OpenCV: BGR
        ...     image = data.decode(path)
        >>> image.shape, image.dtype, image[0, 0].tolist()
        ((4, 2, 3), dtype('uint8'), [255, 0, 0])
    """
    try:
        content = _content(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"decode: path must be an image file, got {path}, which does not exist; if the dataset "
            "was moved, load it again from its new folder"
        ) from None
    pixels = number_of_pixels(content) or 0
    if pixels > MOST_PIXELS:
        requirement = f"be an image of at most {MOST_PIXELS} pixels"
        advice = "resize the image, or remove it from the dataset"
        raise ArgumentError("decode", "path", requirement, f"{path} of {pixels} pixels", advice)
    image = _decoded(content)
    if image is None:
        got = f"{path} ({len(content)} bytes), which is truncated or not an image"
        advice = "copy the file again, or remove it from the dataset"
        raise ArgumentError("decode", "path", "be an image that decodes", got, advice)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _content(path: str | Path) -> bytes:
    # imread fails on file names outside the code page of the system, imdecode does not.
    with open(path, "rb", opener=_opened_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            got, advice = f"{path}, a pipe or a device", "remove it from the dataset"
            raise ArgumentError("decode", "path", "be a regular file", got, advice)
        return file.read()


def _opened_at_once(path: str, flags: int) -> int:
    """Open without blocking: opening a pipe would wait until another process writes to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _decoded(content: bytes) -> np.ndarray | None:
    """The BGR image, or None if the content is invalid.

    A truncated JPEG counts as invalid: OpenCV would fill its missing part with grey.
    """
    cut = content.startswith(_JPEG_START) and _JPEG_END not in content[-64:]
    if not content or (cut and _JPEG_END not in content):
        return None
    is_tiff = content.startswith(_TIFF_STARTS)
    flags = cv2.IMREAD_UNCHANGED if is_tiff or _has_alpha(content) else _COLOURS
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        return None
    if image is None:
        return None
    colours = _in_eight_bits(image if image.ndim == 2 else image[..., :3])
    if image.shape[2:] == (4,):
        alpha = image[..., 3:]
        # OpenCV has already blended a TIFF if its header says what the fourth channel is.
        if not is_tiff or (image[..., :3] > alpha).any():
            opacity = alpha / (255 if image.dtype == np.uint8 else 65535)
            colours = np.rint(colours * opacity).astype(np.uint8)
    return cv2.cvtColor(colours, cv2.COLOR_GRAY2BGR) if colours.ndim == 2 else colours


def _has_alpha(content: bytes) -> bool:
    """Whether the header of a PNG or WebP file declares transparency."""
    if content.startswith(_PNG_START) and len(content) > 25:
        return content[25] in _PNG_WITH_ALPHA or b"tRNS" in content.partition(b"IDAT")[0]
    if content[8:12] == b"WEBP" and len(content) > 20:
        return content[12:16] == b"VP8L" or (content[12:16] == b"VP8X" and bool(content[20] & 0x10))
    return False


def _in_eight_bits(image: np.ndarray) -> np.ndarray:
    """Scale the finite values of an image with more than 8 bits to 0..255."""
    if image.dtype == np.uint8:
        return image
    finite = image[np.isfinite(image)].astype(np.float64)
    least, most = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    scaled = (image.astype(np.float64) - least) * (255 / (most - least) if most > least else 0)
    return np.rint(np.nan_to_num(scaled, nan=0, posinf=255, neginf=0)).astype(np.uint8)
