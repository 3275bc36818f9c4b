"""Writes the images that `hostile` decodes: unusual ones that must be read, and hostile ones."""

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

DAMAGED, TOO_LARGE, NO_FILE = "decodes", "pixels", "regular file"


def images(folder: Path) -> dict[Path, str]:
    """Image files, each with the text that its error must contain, or "" if it must be read."""
    rng = np.random.default_rng(0)
    photo = cv2.resize(rng.integers(0, 255, (8, 4, 3), np.uint8), (64, 128))

    def encoded(suffix: str, pixels: np.ndarray) -> bytes:
        return cv2.imencode(suffix, pixels)[1].tobytes()

    jpeg, png = encoded(".jpg", photo), encoded(".png", photo)
    two = cv2.Animation()
    two.frames, two.durations = [photo, 255 - photo], [100, 100]
    made = {
        "good.jpg": (jpeg, ""),
        "1x1.jpg": (encoded(".jpg", photo[:1, :1]), ""),
        "1x1.png": (encoded(".png", photo[:1, :1]), ""),
        "16-bit.png": (encoded(".png", photo.astype(np.uint16) * 257), ""),
        "gray.png": (encoded(".png", photo[:, :, 0]), ""),
        "transparent.png": (encoded(".png", np.dstack([photo, photo[:, :, 0]])), ""),
        "CMYK.jpg": (_cmyk(), ""),
        "animated.png": (cv2.imencodeanimation(".png", two)[1].tobytes(), ""),
        "animated.gif.jpg": (cv2.imencodeanimation(".gif", two)[1].tobytes(), ""),
        "bitmap.bmp": (encoded(".bmp", photo), ""),
        "trailing.jpg": (jpeg + b"<script>alert(1)</script>", ""),
        "zero.jpg": (b"", DAMAGED),
        "text.jpg": (b"no image" * 100, DAMAGED),
        "noise.jpg": (rng.bytes(3000), DAMAGED),
        "half.jpg": (jpeg[: len(jpeg) // 2], DAMAGED),
        "half.png": (png[: len(png) // 2], DAMAGED),
        "header.jpg": (jpeg[:20], DAMAGED),
        "20000x20000.png": (_flat_png(20_000, 20_000), TOO_LARGE),
        "declares 2^31.png": (_flat_png(2**31 - 1, 2**31 - 1, rows=1), TOO_LARGE),
        "declares 65500.jpg": (_of_size(jpeg, 65_500, 65_500), TOO_LARGE),
        "svg.png": (b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', DAMAGED),
    }
    for name, (content, _) in made.items():
        (folder / name).write_bytes(content)
    silent, endless = folder / "pipe.jpg", folder / "endless.jpg"
    os.mkfifo(silent)
    endless.symlink_to("/dev/zero")
    reasons = {folder / name: reason for name, (_, reason) in made.items()}
    (folder / "folder.jpg").mkdir()
    return reasons | {silent: NO_FILE, endless: NO_FILE, folder / "folder.jpg": "directory"}


def _cmyk() -> bytes:
    """An 8 x 8 gray JPEG with four colour components."""
    buffer = bytearray(cv2.imencode(".jpg", np.full((8, 8), 128, np.uint8))[1].tobytes())
    frame, scan = buffer.index(b"\xff\xc0"), buffer.index(b"\xff\xda")
    head, tail = bytes(buffer[:frame]), bytes(buffer[scan + 10 :])
    components = b"".join(bytes([i, 0x11, 0]) for i in (1, 2, 3, 4))
    new_frame = b"\xff\xc0" + struct.pack(">HBHHB", 20, 8, 8, 8, 4) + components
    tables = bytes(buffer[frame + 2 + struct.unpack(">H", buffer[frame + 2 : frame + 4])[0] : scan])
    new_scan = b"\xff\xda" + struct.pack(">HB", 14, 4)
    new_scan += b"".join(bytes([i, 0]) for i in (1, 2, 3, 4)) + b"\0\x3f\0"
    return head + new_frame + tables + new_scan + tail[:-2] * 4 + b"\xff\xd9"


def _flat_png(width: int, height: int, rows: int | None = None) -> bytes:
    """A black PNG with one bit per pixel, which compresses to a very small file."""
    packer, packed = zlib.compressobj(9), b""
    row = bytes(1 + (min(width, 1 << 20) + 7) // 8)
    for _ in range(height if rows is None else rows):
        packed += packer.compress(row)

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = chunk(b"IDAT", packed + packer.flush())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def _of_size(jpeg: bytes, width: int, height: int) -> bytes:
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]
