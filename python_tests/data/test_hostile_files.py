"""Files made to do harm: refused by name before they cost memory, and nothing of them is run."""

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
    """ValueError that names the file and is of moderate length."""
    with pytest.raises(ValueError, match="must") as error:
        call(path)
    assert path.name in str(error.value) and len(str(error.value)) < 600


def read_query(path):
    return FeatureSet.load(path, side="query")


def packed(path, entries):
    """A zip file that is small for what it holds."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


def header(shape):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def test_features_that_unpack_to_far_more_are_refused(tmp_path):
    content = header((1 << 22, 1)) + bytes(1 << 24)
    refused(read_query, packed(tmp_path / "bomb.npz", {"features.npy": content}))


def test_features_of_a_shape_that_is_not_there_are_refused(tmp_path):
    content = header((1 << 20, 1 << 20)) + bytes(64)
    refused(read_query, packed(tmp_path / "huge.npz", {"features.npy": content}))


def test_features_packed_by_numpy_are_read(tmp_path):
    ids = np.arange(100_000) // 1000
    path = tmp_path / "f.npz"
    np.savez_compressed(path, features=np.ones((100_000, 2), np.float32), identities=ids)
    np.testing.assert_array_equal(read_query(path).identities, ids)


def test_checkpoint_that_unpacks_to_more_is_refused(tmp_path):
    whole = io.BytesIO()
    torch.save({"w": torch.zeros(1 << 20)}, whole)
    with zipfile.ZipFile(whole) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    refused(read_checkpoint, packed(tmp_path / "bomb.pt", entries))


def test_checkpoint_in_the_format_before_archives_is_refused(tmp_path):
    path = tmp_path / "old.pt"
    torch.save({"format": "reid_ext checkpoint"}, path, _use_new_zipfile_serialization=False)
    refused(read_checkpoint, path)


def doubling():
    value = (0, "front")
    for _ in range(60):  # 2**60 leaves to compare, hash or print
        value = (value, value)
    return value


@pytest.mark.parametrize("value", [doubling(), (0, doubling()), (0, "x" * 1_000_000)])
def test_pickled_view_that_is_endless_is_refused(value, tmp_path):
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
def test_view_labels_without_form_are_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    refused(data.read_view_labels, tmp_path / name)


@pytest.mark.parametrize("name", ["list.csv", "list.json"])
def test_manifest_without_form_is_refused(name, tmp_path):
    path = tmp_path / name
    head = "path,split,identity\n"
    path.write_text(head + "a" * 200_000 + ",train,1\n" if name == "list.csv" else "[" * 200_000)
    refused(lambda p: data.load("manifest", p), path)


@pytest.mark.parametrize(
    "line",
    ["../outside.bmp 0", "/etc/passwd 0", "a/../../b.bmp 0", f"{'x' * 5000} 0", "a 1" + "9" * 50],
)
def test_list_that_leads_out_of_its_dataset_is_refused(line, tmp_path):
    root = data.synthesize("regdb", tmp_path / "set", **FEW)
    path = root / "idx" / "train_visible_1.txt"
    path.write_text(path.read_text() + line + "\n")
    refused(lambda p: data.load("regdb", root), path)


def test_views_file_nested_too_deep_is_refused(tmp_path):
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
def test_image_that_says_it_is_huge_is_refused_undecoded(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="must be an image of at most 67108864 pixels") as error:
        data.decode(tmp_path / name)
    assert name in str(error.value)


@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_what_would_never_end_is_refused(tmp_path, kind):
    path = tmp_path / f"{kind}.jpg"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=rf"must be a regular file, got .*{kind}\.jpg"):
        data.decode(path)


def test_control_characters_are_written_out():
    assert harmless(ESCAPES + "\n人\ud800") == "\\x1b[31mred\\x07\n人\\ud800"


def test_names_on_the_command_line_do_not_reach_the_terminal_as_they_are(tmp_path, capsys):
    (tmp_path / ESCAPES).mkdir()
    assert cli.main(["data", "check", "market1501", str(tmp_path / ESCAPES)]) == 1
    assert cli.main(["evaluate", str(tmp_path / ESCAPES), "x"]) == 1
    shown = "".join(capsys.readouterr())
    assert "\x1b" not in shown and "\x07" not in shown and "\\x1b[31mred" in shown


def test_nothing_of_a_checkpoint_is_run(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "c.pt"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(mark),)

    torch.save({"format": "reid_ext checkpoint", "version": 2, "model": Evil()}, path)
    refused(read_checkpoint, path)
    assert not mark.exists()
