"""Drawing of text, smooth lines and dots on an RGB canvas, and atomic writing to a file.

Coordinates are pixels (x, y) and may be fractions. The size of text is the height of a capital
letter.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from reid_ext._runtime.arguments import ArgumentError, described
from reid_ext._runtime.writing import whole_file

Color: TypeAlias = tuple[int, int, int]
INK: Color = (38, 38, 38)
GRAY: Color = (118, 118, 118)
GRID: Color = (226, 226, 226)
WHITE: Color = (255, 255, 255)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL = 21.0  # height of a capital letter in pixels at font scale 1
_SHIFT = 4  # fractional bits of OpenCV's coordinates


def blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def text_width(text: str, size: float, *, bold: bool = False) -> int:
    return cv2.getTextSize(text, _FONT, size / _CAPITAL, 1 + bold)[0][0]


def shortened(text: str, size: float, width: float, *, bold: bool = False) -> str:
    """Return the text, cut to the width and with three dots if it is too long."""
    if text_width(text, size, bold=bold) <= width:
        return text
    while text and text_width(text + "...", size, bold=bold) > width:
        text = text[:-1]
    return text.rstrip() + "..."


def put_text(
    image: np.ndarray,
    text: str,
    at: tuple[float, float],
    size: float,
    *,
    color: Color = INK,
    align: float = 0.0,
    bold: bool = False,
) -> None:
    """Write text on the base line ``at``, its start (align 0), middle (0.5) or end (1)."""
    x = at[0] - align * text_width(text, size, bold=bold)
    origin = (round(x), round(at[1]))
    cv2.putText(image, text, origin, _FONT, size / _CAPITAL, color, 1 + bold, cv2.LINE_AA)


def put_text_upwards(
    image: np.ndarray, text: str, center: tuple[float, float], size: float, color: Color = INK
) -> None:
    """Write text from bottom to top, centred, on a white background."""
    width, height = text_width(text, size), round(2 * size)
    strip = blank(height, width)
    put_text(strip, text, (0, 1.4 * size), size, color=color)
    left, top = round(center[0] - height / 2), round(center[1] - width / 2)
    image[top : top + width, left : left + height] = cv2.rotate(
        strip, cv2.ROTATE_90_COUNTERCLOCKWISE
    )


def put_line(
    image: np.ndarray, points: Sequence[tuple[float, float]] | np.ndarray, color: Color, width: int
) -> None:
    fixed = np.round(np.asarray(points) * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(image, [fixed], False, color, width, cv2.LINE_AA, _SHIFT)


def put_dot(image: np.ndarray, at: tuple[float, float], radius: float, color: Color) -> None:
    x, y, r = (round(v * (1 << _SHIFT)) for v in (*at, radius))
    cv2.circle(image, (x, y), r, color, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def save_image(path: str | Path, image: np.ndarray) -> None:
    """Write an image to a file atomically: the file is complete or does not exist.

    Args:
        path: Path of the file in an existing folder. The suffix (.png, .jpg, …) determines the
            format.
        image: uint8 RGB image of shape (H, W, 3), or gray image of shape (H, W).

    Raises:
        ArgumentError: If the suffix is unknown, or the image has an invalid shape or dtype.
        FileNotFoundError: If the folder does not exist.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from reid_ext import viz
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "black.png")
        ...     viz.save_image(path, np.zeros((8, 8), np.uint8))
        ...     path.exists()
        True
    """
    path = Path(path)
    image = read_image("save_image", "image", image)
    if not cv2.haveImageWriter(path.name):
        raise ArgumentError("save_image", "path", "end in .png or .jpg", repr(path.name))
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"save_image: path must be in a folder that exists, got {path}; make {path.parent}"
        )
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(path.suffix, pixels)[1].tobytes()
    with whole_file(path) as part:
        part.write_bytes(encoded)


def read_image(function: str, argument: str, image: np.ndarray) -> np.ndarray:
    """Return a non-empty RGB or gray image."""
    pixels = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.size > 0
    if pixels and (image.ndim == 2 or image.shape[2:] == (3,)):
        return image
    requirement = "be a uint8 array of shape (H, W, 3) or (H, W)"
    raise ArgumentError(function, argument, requirement, described(image))


def read_fractions(
    function: str, argument: str, values: object, *, ndim: int = 1, most: float = 1.0
) -> np.ndarray:
    """Return a non-empty array of numbers from 0 to ``most``, as float64."""
    array = as_numbers(function, argument, values)
    if array.ndim == ndim and array.size and ((array >= 0) & (array <= most * (1 + 1e-6))).all():
        return array
    got = f"shape {array.shape}"
    if array.size:
        got += f" with values from {array.min():g} to {array.max():g}"
    shape = "(N,)" if ndim == 1 else "(h, w)"
    requirement = f"be a non-empty array of shape {shape} with values in [0, {most:.4g}]"
    raise ArgumentError(function, argument, requirement, got)


def as_numbers(function: str, argument: str, values: object) -> np.ndarray:
    """Return an array of numbers as float64."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        requirement = "be an array of numbers"
        raise ArgumentError(function, argument, requirement, described(values)) from error
