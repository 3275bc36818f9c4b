"""How many pixels an image file says it has, from its first bytes: before anything is decoded.

A file of kilobytes can ask for gigabytes. PNG, JPEG and BMP, the formats of the datasets, are
looked at; of any other OpenCV itself refuses more than 2**30 pixels.
"""

import re
import struct

_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # JPEG markers that give a size
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")  # of JPEG: those that a length follows
_OLD_BMP = 12  # bytes of the header of OS/2


def number_of_pixels(content: bytes) -> int | None:
    """Width times height; None for another format, or a header that does not say."""
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
    """Width times height; bytes between markers are passed over, as decoders do."""
    at = 2
    while (marker := _MARKER.search(content, at)) and marker.end() + 7 <= len(content):
        if marker[1][0] in _FRAMES:
            height, width = struct.unpack_from(">HH", content, marker.end() + 3)
            return width * height
        at = marker.end() + struct.unpack_from(">H", content, marker.end())[0]
    return None
