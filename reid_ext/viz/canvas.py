"""Drawing on an RGB canvas: text, smooth lines, dots; and writing it to a file in one step.

Coordinates are pixels (x, y) and may be fractions; the size of text is the height of a capital.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from reid_ext._runtime.writing import whole_file

Color: TypeAlias = tuple[int, int, int]
INK: Color = (38, 38, 38)
GRAY: Color = (118, 118, 118)
GRID: Color = (226, 226, 226)
WHITE: Color = (255, 255, 255)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL = 21.0  # pixels of a capital at font scale 1
_SHIFT = 4  # fractional bits of OpenCV's coordinates


def blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)


def text_width(text: str, size: float, *, bold: bool = False) -> int:
    return cv2.getTextSize(text, _FONT, size / _CAPITAL, 1 + bold)[0][0]


def shortened(text: str, size: float, width: float, *, bold: bool = False) -> str:
    """The text, or as much of it as fits with three dots."""
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
    """Write with the base line at ``at``; align 0 starts there, 0.5 centres, 1 ends there."""
    x = at[0] - align * text_width(text, size, bold=bold)
    origin = (round(x), round(at[1]))
    cv2.putText(image, text, origin, _FONT, size / _CAPITAL, color, 1 + bold, cv2.LINE_AA)


def put_text_upwards(
    image: np.ndarray, text: str, center: tuple[float, float], size: float, color: Color = INK
) -> None:
    """Write from bottom to top, on white, centred."""
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
    """Write an image so that the file is there whole or not at all.

    Args:
        path: Where; the suffix (.png, .jpg, …) says how. The folder must exist.
        image: uint8 RGB of shape (H, W, 3), or gray of shape (H, W).

    Raises:
        ValueError: an unknown suffix, or an image of another shape or dtype.
        FileNotFoundError: the folder is missing.
    """
    path = Path(path)
    check_image("save_image", "image", image)
    if not cv2.haveImageWriter(path.name):
        raise ValueError(f"save_image: path must end in .png or .jpg, got {path.name!r}")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"save_image: path must be in a folder that exists, got {path}; make {path.parent}"
        )
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(path.suffix, pixels)[1].tobytes()
    with whole_file(path) as part:
        part.write_bytes(encoded)


def check_image(where: str, name: str, image: np.ndarray) -> None:
    if not isinstance(image, np.ndarray):
        raise ValueError(f"{where}: {name} must be a NumPy array, got {type(image).__name__}")
    rgb_or_gray = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not rgb_or_gray or image.size == 0:
        raise ValueError(
            f"{where}: {name} must be uint8 of shape (H, W, 3) or (H, W), "
            f"got {image.dtype} of shape {image.shape}"
        )
