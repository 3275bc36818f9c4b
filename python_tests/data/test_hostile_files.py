"""Malicious files raise an error with the file name, use little memory, and run no code."""

import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch

from reid_ext import FeatureSet, cli, data
from reid_ext._runtime.terminal import harmless
from reid_ext.training.checkpoint import read_checkpoint

FRAME = b"\xff\xc0\0\x11\x08" + struct.pack(">HH", 65_500, 65_500) + b"\3"  # of a JPEG
FEW = {"identities": (3, 0, 3), "images": (2, 1), "workers": 1}
ESCAPES = "\x1b[31mred\x07"


def refused(call, path):
    """Check that the call raises a short ValueError that contains the file name."""
    with pytest.raises(ValueError, match="must") as error:
        call(path)
    assert path.name in str(error.value) and len(str(error.value)) < 600


def read_query(path):
    return FeatureSet.load(path, side="query")


def packed(path, entries):
    """Write a compressed zip file, which can be much smaller than its content."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


def header(shape):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def test_load_raises_for_features_that_unpack_to_far_more(tmp_path):
    content = header((1 << 22, 1)) + bytes(1 << 24)
    refused(read_query, packed(tmp_path / "bomb.npz", {"features.npy": content}))


def test_load_raises_for_features_with_false_shape(tmp_path):
    content = header((1 << 20, 1 << 20)) + bytes(64)
    refused(read_query, packed(tmp_path / "huge.npz", {"features.npy": content}))


def test_load_reads_compressed_features(tmp_path):
    ids = np.arange(100_000) // 1000
    path = tmp_path / "f.npz"
    np.savez_compressed(path, features=np.ones((100_000, 2), np.float32), identities=ids)
    np.testing.assert_array_equal(read_query(path).identities, ids)


def test_read_checkpoint_raises_for_zip_bomb(tmp_path):
    whole = io.BytesIO()
    torch.save({"w": torch.zeros(1 << 20)}, whole)
    with zipfile.ZipFile(whole) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    refused(read_checkpoint, packed(tmp_path / "bomb.pt", entries))


def test_read_checkpoint_raises_for_legacy_format(tmp_path):
    path = tmp_path / "old.pt"
    torch.save({"format": "reid_ext checkpoint"}, path, _use_new_zipfile_serialization=False)
    refused(read_checkpoint, path)


def doubling():
    value = (0, "front")
    for _ in range(60):  # 2**60 leaves to compare, hash or print
        value = (value, value)
    return value


@pytest.mark.parametrize("value", [doubling(), (0, doubling()), (0, "x" * 1_000_000)])
def test_read_view_labels_raises_for_endless_pickle(value, tmp_path):
    path = tmp_path / "views.pkl"
    path.write_bytes(pickle.dumps({"a.jpg": value}))
    refused(data.read_view_labels, path)


@pytest.mark.parametrize(
    "name, content",
    [
        ("long.csv", b"path,view\n" + b"a" * 200_000 + b",0\n"),
        ("binary.csv", b"path,view\n\xff\xfe,0\n"),
        ("deep.json", b"[" * 200_000),
        ("list.json", b'{"a.jpg": [0]}'),
    ],
)
def test_read_view_labels_raises_for_invalid_content(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    refused(data.read_view_labels, tmp_path / name)


@pytest.mark.parametrize("name", ["list.csv", "list.json"])
def test_manifest_reader_raises_for_invalid_content(name, tmp_path):
    path = tmp_path / name
    head = "path,split,identity\n"
    path.write_text(head + "a" * 200_000 + ",train,1\n" if name == "list.csv" else "[" * 200_000)
    refused(lambda p: data.load("manifest", p), path)


@pytest.mark.parametrize(
    "line",
    ["../outside.bmp 0", "/etc/passwd 0", "a/../../b.bmp 0", f"{'x' * 5000} 0", "a 1" + "9" * 50],
)
def test_regdb_reader_raises_for_paths_outside_of_dataset(line, tmp_path):
    root = data.synthesize("regdb", tmp_path / "set", **FEW)
    path = root / "idx" / "train_visible_1.txt"
    path.write_text(path.read_text() + line + "\n")
    refused(lambda p: data.load("regdb", root), path)


def test_reader_raises_for_deeply_nested_views(tmp_path):
    root = data.synthesize("market1501", tmp_path / "set", **FEW)
    (root / "views.json").write_text("[" * 200_000)
    refused(lambda p: data.load("market1501", root), root / "views.json")


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.png", b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 20_000, 20_000)),
        ("a.bmp", b"BM" + bytes(16) + struct.pack("<ii", 1 << 15, -(1 << 15))),
        ("a.jpg", b"\xff\xd8\xff\xe0\0\4ab" + FRAME),
        ("a.jpg", b"\xff\xd8\xff\xe0\0\4abno marker" + FRAME),
        ("a.jpg", b"\xff\xd8\xff\xfe\0\0\xff\xff\x01" + FRAME),
    ],
)
def test_decode_raises_for_huge_image_before_decoding(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="must be an image of at most 67108864 pixels") as error:
        data.decode(tmp_path / name)
    assert name in str(error.value)


@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_decode_raises_for_pipes_and_devices(tmp_path, kind):
    path = tmp_path / f"{kind}.jpg"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=rf"must be a regular file, got .*{kind}\.jpg"):
        data.decode(path)


def test_harmless_escapes_control_characters():
    assert harmless(ESCAPES + "\n人\ud800") == "\\x1b[31mred\\x07\n人\\ud800"


def test_command_escapes_control_characters_in_names(tmp_path, capsys):
    (tmp_path / ESCAPES).mkdir()
    assert cli.main(["data", "check", "market1501", str(tmp_path / ESCAPES)]) == 1
    assert cli.main(["evaluate", str(tmp_path / ESCAPES), "x"]) == 1
    shown = "".join(capsys.readouterr())
    assert "\x1b" not in shown and "\x07" not in shown and "\\x1b[31mred" in shown


def test_read_checkpoint_runs_no_code(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "c.pt"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(mark),)

    torch.save({"format": "reid_ext checkpoint", "version": 2, "model": Evil()}, path)
    refused(read_checkpoint, path)
    assert not mark.exists()
