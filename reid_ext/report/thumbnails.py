"""Small copies of images for the page, decoded and encoded again without metadata."""

import base64
from pathlib import Path

import cv2
import numpy as np

from reid_ext.data import decode

HEIGHT, WIDEST = 128, 192  # pixels
QUALITY = 82


def thumbnail(path: str) -> str | None:
    """Return a data URL of a small JPEG, or None if the path is not a readable image."""
    if not path or not Path(path).is_file():
        return None
    try:
        image = decode(path)
    except (ValueError, OSError):
        return None
    scale = min(HEIGHT / image.shape[0], WIDEST / image.shape[1])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.cvtColor(cv2.resize(image, size, interpolation=how), cv2.COLOR_RGB2BGR)
    content = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(np.asarray(content).tobytes()).decode()
