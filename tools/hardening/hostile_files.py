"""Makes the files that `hostile` has read."""

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from reid_ext import data

GIB = 1 << 30


class Evil:
    """Unpickled without care, it makes a folder where the attack can see it."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def checkpoints(folder: Path, evil: Evil) -> list[Path]:
    """Files in the place of checkpoint.pt."""
    good = {"format": "reid_ext checkpoint", "version": 2}
    keys = ("iteration", "settings", "model", "objective", "optimizer", "scaler", "sampler", "rng")
    whole = good | {key: {} for key in keys}

    def saved(name: str, content: Any, **options: Any) -> Path:
        torch.save(content, folder / f"{name}.pt", **options)
        return folder / f"{name}.pt"

    made = [
        saved("code", evil),
        saved("code within", whole | {"model": {"weight": evil}}),
        saved("code in the old format", evil, _use_new_zipfile_serialization=False),
        saved("another version", whole | {"version": 99}),
        saved("a version of any length", whole | {"version": "9" * 1_000_000}),
        saved("another program", {"state_dict": {}}),
        saved("keys missing", good),
        saved("a list", [1, 2]),
    ]
    for name, content in {
        "empty": b"",
        "noise": np.random.default_rng(0).bytes(4096),
        "bare pickle": pickle.dumps(evil),
    }.items():
        (folder / f"{name}.pt").write_bytes(content)
        made.append(folder / f"{name}.pt")
    half = saved("half", whole | {"model": {"w": torch.zeros(10_000)}})
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    return [*made, half, _bomb(folder / "bomb.pt", whole)]


def _bomb(path: Path, content: dict[str, Any]) -> Path:
    """A checkpoint of a few megabytes that unpacks to gigabytes, as torch never writes one."""
    buffer = io.BytesIO()
    torch.save(content | {"model": {"w": torch.zeros(4)}}, buffer)
    with (
        zipfile.ZipFile(buffer) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for name in old.namelist():
            if not name.endswith("data/0"):
                new.writestr(name, old.read(name))
                continue
            with new.open(name, "w", force_zip64=True) as entry:
                for _ in range(GIB >> 24):
                    entry.write(bytes(1 << 24))
    return path


def view_labels(folder: Path, evil: Evil) -> list[Path]:
    """Files in the place of VA-reID's annotations."""
    doubling: Any = (0, "front")
    for _ in range(60):
        doubling = (doubling, doubling)
    pickles: dict[str, Any] = {
        "code": evil,
        "code within": {"a.jpg": evil},
        "a class": {"a.jpg": np.float64(3)},
        "a number": 3,
        "names that are numbers": {3: (0, "front")},
        "a view that is none": {"a.jpg": (7, "up")},
        "doubling": {"a.jpg": doubling},
        "doubling name": {"a.jpg": (0, doubling)},
        "a name of any length": {"a" * 1_000_000: (9, "x")},
    }
    made = {f"{name}.pkl": pickle.dumps(value) for name, value in pickles.items()}
    made |= {
        "noise.pkl": np.random.default_rng(0).bytes(5000),
        "empty.pkl": b"",
        "huge string.pkl": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"x",
        "huge bytes.pkl": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x",
        "huge memo.pkl": b"\x80\x04Nr" + struct.pack("<I", 0x7FFFFFFF) + b".",
        "deep.pkl": b"(" * 100_000 + b"t" * 100_000 + b".",
        "not UTF-8.csv": b"path,view\n\xff\xfe.jpg,0\n",
        "long field.csv": b"path,view\n" + b"a" * 200_000 + b",0\n",
        "NUL.csv": b"path,view\na\0.jpg,9\n",
        "open quote.csv": b'path,view\n"a.jpg,0\n' + b"b.jpg,0\n" * 50_000,
        "short row.csv": b"path,view\na.jpg\n",
        "deep.json": b"[" * 200_000,
        "deep object.json": b'{"a":' * 100_000,
        "long number.json": b'{"a.jpg": ' + b"9" * 5000 + b"}",
        "list view.json": b'{"a.jpg": [0]}',
        "not UTF-8.json": b'{"\xff": 0}',
    }
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in made]


def feature_files(folder: Path, evil: Evil) -> list[Path]:
    """Files in the place of extracted features."""
    ids = np.arange(3)
    made = []

    def saved(name: str, **arrays: np.ndarray) -> None:
        np.savez(folder / f"{name}.npz", **arrays)
        made.append(folder / f"{name}.npz")

    saved("objects", features=np.array([[evil]], object), identities=ids)
    saved("objects in names", features=np.eye(3), identities=np.array([evil] * 3, object))
    saved("no features", identities=ids)
    saved("whole numbers", features=np.eye(3, dtype=int), identities=ids)
    saved("a vector", features=np.ones(3), identities=ids)
    for name, content in {
        "noise": os.urandom(999),
        "empty": b"",
        "pickle": pickle.dumps(evil),
    }.items():
        (folder / f"{name}.npz").write_bytes(content)
        made.append(folder / f"{name}.npz")
    for name, shape in {"huge shape": (1 << 20, 1 << 20), "overflow": (1 << 40, 1 << 40)}.items():
        made.append(_declaring(folder / f"{name}.npz", shape, b"\0" * 64))
    made.append(_declaring(folder / "negative.npz", (-1, 4), b"\0" * 64))
    bomb = folder / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("features.npy", "w", force_zip64=True) as entry:
            entry.write(_header((GIB >> 2, 1)))
            for _ in range(GIB >> 24):
                entry.write(bytes(1 << 24))
        file.writestr("identities.npy", _array_bytes(ids))
    return [*made, bomb]


def _header(shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (118 - len(text)) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def _array_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array)
    return buffer.getvalue()


def _declaring(path: Path, shape: tuple[int, ...], content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("features.npy", _header(shape) + content)
        file.writestr("identities.npy", _array_bytes(np.arange(3)))
    return path


def images(folder: Path) -> dict[Path, bool]:
    """Image files, and whether they can be read."""
    rng = np.random.default_rng(0)
    photo = cv2.resize(rng.integers(0, 255, (8, 4, 3), np.uint8), (64, 128))

    def encoded(suffix: str, pixels: np.ndarray) -> bytes:
        return cv2.imencode(suffix, pixels)[1].tobytes()

    jpeg, png = encoded(".jpg", photo), encoded(".png", photo)
    two = cv2.Animation()
    two.frames, two.durations = [photo, 255 - photo], [100, 100]
    made = {
        "good.jpg": (jpeg, True),
        "1x1.jpg": (encoded(".jpg", photo[:1, :1]), True),
        "1x1.png": (encoded(".png", photo[:1, :1]), True),
        "16-bit.png": (encoded(".png", photo.astype(np.uint16) * 257), True),
        "gray.png": (encoded(".png", photo[:, :, 0]), True),
        "transparent.png": (encoded(".png", np.dstack([photo, photo[:, :, 0]])), True),
        "CMYK.jpg": (_cmyk(), True),
        "animated.png": (cv2.imencodeanimation(".png", two)[1].tobytes(), True),
        "animated.gif.jpg": (cv2.imencodeanimation(".gif", two)[1].tobytes(), True),
        "bitmap.bmp": (encoded(".bmp", photo), True),
        "trailing.jpg": (jpeg + b"<script>alert(1)</script>", True),
        "zero.jpg": (b"", False),
        "text.jpg": (b"no image" * 100, False),
        "noise.jpg": (rng.bytes(3000), False),
        "half.jpg": (jpeg[: len(jpeg) // 2], False),
        "half.png": (png[: len(png) // 2], False),
        "header.jpg": (jpeg[:20], False),
        "20000x20000.png": (_flat_png(20_000, 20_000), False),
        "declares 2^31.png": (_flat_png(2**31 - 1, 2**31 - 1, rows=1), False),
        "declares 65500.jpg": (_of_size(jpeg, 65_500, 65_500), False),
        "svg.png": (b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', False),
    }
    result = {}
    for name, (content, fine) in made.items():
        (folder / name).write_bytes(content)
        result[folder / name] = fine
    (folder / "folder.jpg").mkdir()
    return result


def _cmyk() -> bytes:
    """An 8 x 8 gray JPEG in four colours."""
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
    """Black, one bit per pixel: hardly a byte for all its pixels."""
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


def datasets(folder: Path) -> list[tuple[str, str, Path, dict[str, Any]]]:
    """Datasets whose lists were changed: name, what was done, root, split."""
    made = []
    outside = folder / "outside.jpg"
    cv2.imwrite(str(outside), np.zeros((8, 4, 3), np.uint8))
    changes = {
        "a path upwards": "../../outside.jpg 0\n",
        "a path from the top": f"{outside} 0\n",
        "a number without end": "Visible/1/a.bmp " + "9" * 5000 + "\n",
        "NUL": "Visible/\0.bmp 0\n",
        "a long line": "x" * 1_000_000 + " 0\n",
    }
    clean = {
        name: data.synthesize(name, folder / name, preset="tiny") for name in ("regdb", "msmt17")
    }
    for name, file in (("regdb", "idx/train_visible_1.txt"), ("msmt17", "list_query.txt")):
        for what, line in changes.items():
            root = folder / f"{name} {len(made)}"
            shutil.copytree(clean[name], root)
            path = root / file
            text = path.read_text()
            if name == "msmt17":
                line = line.replace("outside.jpg", "outside_0_01_x.jpg")
            path.write_text(text + line)
            made.append((name, what, root, {}))
    root = clean["regdb"]
    (root / "views.json").write_text("[" * 100_000)
    made.append(("regdb", "deep views.json", root, {}))
    root = data.synthesize("sysu-mm01", folder / "sysu", preset="tiny")
    (root / "exp" / "train_id.txt").write_text("9" * 5000 + ",1")
    made.append(("sysu-mm01", "a number without end", root, {}))
    return made


def manifests(folder: Path) -> list[Path]:
    """Lists of one's own images."""
    head = "path,split,identity,camera\n"
    good = {"path": "a.jpg", "split": "train", "identity": 1}
    made = {
        "long field.csv": (head + "a" * 200_000 + ",train,1,1\n").encode(),
        "endless camera.csv": (head + "a.jpg,train,1," + "9" * 5000 + "\n").encode(),
        "not UTF-8.csv": b"path,split,identity\n\xff,train,1\n",
        "deep.json": b"[" * 200_000,
        "nested.json": json.dumps([good | {"path": [["a"]]}]).encode(),
        "long number.json": b'[{"path": "a", "split": "train", "identity": ' + b"9" * 5000 + b"}]",
    }
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in made]
