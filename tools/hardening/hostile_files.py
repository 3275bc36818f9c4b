"""Writes the files that `hostile` tries to read, each with a part of the expected error message.

The message shows that the intended check raised the error, and not an earlier one.
"""

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from reid_ext import data
from reid_ext.training.checkpoint import FORMAT, VERSION

Refused = dict[Path, str]  # file -> text that the error message must contain

GIB = 1 << 30


class Evil:
    """Creates a folder when it is unpickled, so that the attack can detect it."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def checkpoints(folder: Path, evil: Evil) -> Refused:
    """Invalid and hostile checkpoints."""
    good = {"format": FORMAT, "version": VERSION}
    keys = ("iteration", "settings", "model", "objective", "optimizer", "scaler", "sampler", "rng")
    whole = good | {key: {} for key in keys} | {"average": None, "best": None}
    other = VERSION + 96
    made: Refused = {}

    def saved(name: str, content: Any, reason: str, **options: Any) -> Path:
        path = folder / f"{name}.pt"
        torch.save(content, path, **options)
        made[path] = reason
        return path

    saved("code", evil, "UnpicklingError")
    saved("code within", whole | {"model": {"weight": evil}}, "UnpicklingError")
    saved("code in the old format", evil, "BadZipFile", _use_new_zipfile_serialization=False)
    saved("another version", whole | {"version": other}, str(other))
    saved("a version of any length", whole | {"version": "9" * 1_000_000}, "9" * 10)
    saved("another program", {"state_dict": {}}, "another program")
    saved("keys missing", good, "objective, optimizer")
    saved("a list", [1, 2], "another program")
    for name, content in {
        "empty": b"",
        "noise": np.random.default_rng(0).bytes(4096),
        "bare pickle": pickle.dumps(evil),
    }.items():
        (folder / f"{name}.pt").write_bytes(content)
        made[folder / f"{name}.pt"] = "BadZipFile"
    half = saved("half", whole | {"model": {"w": torch.zeros(10_000)}}, "BadZipFile")
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    made[_bomb(folder / "bomb.pt", whole)] = (
        "ValueError"  # the check of compressed entries comes first
    )
    return made


def _bomb(path: Path, content: dict[str, Any]) -> Path:
    """A checkpoint of a few megabytes that unpacks to a gigabyte; torch never compresses."""
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


def view_labels(folder: Path, evil: Evil) -> Refused:
    """Invalid and hostile files of VA-reID's viewpoint labels."""
    doubling: Any = (0, "front")
    for _ in range(60):
        doubling = (doubling, doubling)
    pickles: dict[str, tuple[Any, str]] = {
        "code": (evil, "mkdir"),
        "code within": ({"a.jpg": evil}, "mkdir"),
        "a class": ({"a.jpg": np.float64(3)}, "scalar"),
        "a number": (3, "got int"),
        "names that are numbers": ({3: (0, "front_side")}, ": 3 "),
        "an unknown view": ({"a.jpg": (7, "up")}, "(7, 'up')"),
        "doubling": ({"a.jpg": doubling}, "(...)"),
        "doubling name": ({"a.jpg": (0, doubling)}, "(0, ((("),
        "a name of any length": ({"a" * 1_000_000: (9, "x")}, "(9, 'x')"),
    }
    files = {
        f"{name}.pkl": (pickle.dumps(value), reason) for name, (value, reason) in pickles.items()
    }
    files |= {
        "noise.pkl": (np.random.default_rng(0).bytes(5000), "invalid load key"),
        "empty.pkl": (b"", "Ran out of input"),
        "huge string.pkl": (b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"x", "truncated"),
        "huge bytes.pkl": (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x", "plain values"),
        "huge memo.pkl": (b"\x80\x04Nr" + struct.pack("<I", 0x7FFFFFFF) + b".", "plain values"),
        "deep.pkl": (b"(" * 100_000 + b"t" * 100_000 + b".", "got tuple"),
        "not UTF-8.csv": (b"path,view\n\xff\xfe.jpg,0\n", "0xff"),
        "long field.csv": (b"path,view\n" + b"a" * 200_000 + b",0\n", "field limit"),
        "NUL.csv": (b"path,view\na\0.jpg,9\n", "zero bytes"),
        "open quote.csv": (b'path,view\n"a.jpg,0\n' + b"b.jpg,0\n" * 50_000, "field limit"),
        "short row.csv": (b"path,view\na.jpg\n", "got 1 in line 2"),
        "deep.json": (b"[" * 200_000, "brackets"),
        "deep object.json": (b'{"a":' * 100_000, "brackets"),
        "long number.json": (b'{"a.jpg": ' + b"9" * 5000 + b"}", "4300 digits"),
        "list view.json": (b'{"a.jpg": [0]}', "[0]"),
        "not UTF-8.json": (b'{"\xff": 0}', "0xff"),
    }
    return _written(folder, files)


def _written(folder: Path, files: dict[str, tuple[bytes, str]]) -> Refused:
    """Write each file and return the text that its error must contain."""
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    return {folder / name: reason for name, (_, reason) in files.items()}


def feature_files(folder: Path, evil: Evil) -> Refused:
    """Invalid and hostile feature files."""
    ids = np.arange(3)
    no_archive = {
        "noise.npz": (os.urandom(999), "another kind"),
        "empty.npz": (b"", "another kind"),
        "pickle.npz": (pickle.dumps(evil), "another kind"),
    }
    made = _written(folder, no_archive)

    def saved(name: str, reason: str, **arrays: np.ndarray) -> None:
        np.savez(folder / f"{name}.npz", **arrays)
        made[folder / f"{name}.npz"] = reason

    objects = np.array([evil] * 3, object)
    saved("objects", "allow_pickle", features=objects[:1, None], identities=ids)
    saved("objects in names", "allow_pickle", features=np.eye(3), identities=objects)
    saved("no features", "no features", identities=ids)
    saved("whole numbers", "int64", features=np.eye(3, dtype=int), identities=ids)
    saved("a vector", "(3,)", features=np.ones(3), identities=ids)
    for name, shape in {"huge shape": (1 << 20, 1 << 20), "overflow": (1 << 40, 1 << 40)}.items():
        made[_declaring(folder / f"{name}.npz", shape, b"\0" * 64)] = "too short for its shape"
    made[_declaring(folder / "negative.npz", (-1, 4), b"\0" * 64)] = "negative"
    bomb = folder / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("features.npy", "w", force_zip64=True) as entry:
            entry.write(_header((GIB >> 2, 1)))
            for _ in range(GIB >> 24):
                entry.write(bytes(1 << 24))
        file.writestr("identities.npy", _array_bytes(ids))
    made[bomb] = str(GIB)[:5]
    return made


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


class ChangedDataset(NamedTuple):
    """A dataset with one changed list, and the text that the error must contain."""

    name: str
    change: str
    root: Path
    file: str
    reason: str


def datasets(folder: Path) -> list[ChangedDataset]:
    """Datasets whose lists name files outside their folder, or contain invalid text."""
    outside = folder / "outside.jpg"
    cv2.imwrite(str(outside), np.zeros((8, 4, 3), np.uint8))
    changes = {
        "a path upwards": ("../../outside.jpg 0\n", "../../outside"),
        "a path from the top": (f"{outside} 0\n", f"'{folder}/outside"),
        "a number without end": ("Visible/1/a.bmp " + "9" * 5000 + "\n", "Visible/1/a.bmp 99"),
        "NUL": ("Visible/\0.bmp 0\n", "\\x00"),
        "a long line": ("x" * 1_000_000 + " 0\n", "xxx..."),
    }
    lists = {"regdb": "idx/train_visible_1.txt", "msmt17": "list_query.txt"}
    made = []
    for name, file in lists.items():
        clean = data.synthesize(name, folder / name, preset="tiny")
        for change, (line, reason) in changes.items():
            root = folder / f"{name} {len(made)}"
            shutil.copytree(clean, root)
            if name == "msmt17":
                line = line.replace("outside.jpg", "outside_0_01_x.jpg")
            with (root / file).open("a") as text:
                text.write(line)
            made.append(ChangedDataset(name, change, root, file, reason))
    (folder / "regdb" / "views.json").write_text("[" * 100_000)
    deep = ChangedDataset("regdb", "deep brackets", folder / "regdb", "views.json", "brackets")
    root = data.synthesize("sysu-mm01", folder / "sysu", preset="tiny")
    ids = "exp/train_id.txt"
    (root / ids).write_text("9" * 5000 + ",1")
    endless = ChangedDataset("sysu-mm01", "a number without end", root, ids, "9" * 10)
    return [*made, deep, endless]


def manifests(folder: Path) -> Refused:
    """Invalid and hostile manifests."""
    head = "path,split,identity,camera\n"
    nested = {"path": "a.jpg", "split": "train", "identity": 1, "camera": [["a"]]}
    camera = head + "a.jpg,train,1," + "9" * 5000 + "\n"
    number = b'[{"path": "a", "split": "train", "identity": ' + b"9" * 5000 + b"}]"
    files = {
        "long field.csv": ((head + "a" * 200_000 + ",train,1,1\n").encode(), "field limit"),
        "endless camera.csv": (camera.encode(), "camera, got"),
        "not UTF-8.csv": (b"path,split,identity\n\xff,train,1\n", "0xff"),
        "deep.json": (b"[" * 200_000, "brackets"),
        "nested.json": (json.dumps([nested]).encode(), "[['a']]"),
        "long number.json": (number, "4300 digits"),
    }
    return _written(folder, files)
