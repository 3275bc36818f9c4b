"""Reads the number of pixels from the header of an image file, before the image is decoded.

A file of a few kilobytes can decode to gigabytes. This module reads PNG, JPEG and BMP headers, the
formats of the datasets. For other formats, OpenCV raises an error above 2**30 pixels.
"""

import re
import struct

_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # JPEG markers with the image size
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")  # JPEG markers that a length follows
_OLD_BMP = 12  # bytes of an OS/2 header


def number_of_pixels(content: bytes) -> int | None:
    """Width times height; None for other formats, or if the header is incomplete."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24:
        width, height = struct.unpack_from(">II", content, 16)
        return width * height
    if content.startswith(b"BM") and len(content) >= 26:
        header = struct.unpack_from("<I", content, 14)[0]
        width, height = struct.unpack_from("<HH" if header == _OLD_BMP else "<ii", content, 18)
        return abs(width * height)
    if content.startswith(b"\xff\xd8"):
        return _of_jpeg(content)
    return None


def _of_jpeg(content: bytes) -> int | None:
    """Width times height; bytes between markers are skipped, as decoders do."""
    at = 2
    while (marker := _MARKER.search(content, at)) and marker.end() + 7 <= len(content):
        if marker[1][0] in _FRAMES:
            height, width = struct.unpack_from(">HH", content, marker.end() + 3)
            return width * height
        at = marker.end() + struct.unpack_from(">H", content, marker.end())[0]
    return None
