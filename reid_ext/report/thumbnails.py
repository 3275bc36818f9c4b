"""Copies of images for the page, decoded and encoded again without metadata.

The page shows them at half their size and opens them in full.
"""

import base64
from pathlib import Path

import cv2
import numpy as np

from reid_ext.data import decode

HEIGHT, WIDEST = 256, 384  # pixels
QUALITY = 82


class Thumbnails:
    """The images of a page by path, each read once, and how many of them were found."""

    def __init__(self) -> None:
        self._sources: dict[str, str | None] = {}

    def __getitem__(self, path: str) -> str | None:
        if path and path not in self._sources:
            self._sources[path] = thumbnail(path)
        return self._sources.get(path)

    def __str__(self) -> str:
        if not self._sources:
            return "The feature sets have no column paths, so no images are shown."
        found = sum(source is not None for source in self._sources.values())
        return f"{found} of {len(self._sources)} images found."


def thumbnail(path: str) -> str | None:
    """Return a data URL of a small JPEG, or None if the path is not a readable image."""
    try:
        if not path or not Path(path).is_file():
            return None
        image = decode(path)
    except (ValueError, OSError):
        return None
    scale = min(HEIGHT / image.shape[0], WIDEST / image.shape[1])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.cvtColor(cv2.resize(image, size, interpolation=how), cv2.COLOR_RGB2BGR)
    content = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(np.asarray(content).tobytes()).decode()
