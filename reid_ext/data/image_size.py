"""How many pixels an image file says it has, from its first bytes: before anything is decoded.

A file of kilobytes can ask for gigabytes. PNG, JPEG and BMP, the formats of the datasets, are
looked at; of any other OpenCV itself refuses more than 2**30 pixels.
"""

import struct

_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # JPEG markers that give a size
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without a length


def number_of_pixels(content: bytes) -> int | None:
    """Width times height; None for another format, or a header that does not say."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24:
        width, height = struct.unpack_from(">II", content, 16)
        return width * height
    if content.startswith(b"BM") and len(content) >= 26:
        width, height = struct.unpack_from("<ii", content, 18)
        return abs(width * height)
    if content.startswith(b"\xff\xd8"):
        return _of_jpeg(content)
    return None


def _of_jpeg(content: bytes) -> int | None:
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width * height
        if marker == 0xFF:  # fill bytes
            at += 1
        elif marker in _ALONE:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", content, at + 2)[0]
    return None
