"""Conversion of CUHK03-NP from small MATLAB files with the structure of the published ones."""

import json

import cv2
import numpy as np
import pytest

from reid_ext import cli, data
from reid_ext.data.readers import cuhk03_mat

h5py = pytest.importorskip("h5py", reason="needs h5py")
savemat = pytest.importorskip("scipy.io", reason="needs scipy").savemat

# Pair, person, view, image number (1 to 10), and the label of the person.
LISTED = [
    *[(1, 1, 1, 1, 3), (1, 1, 2, 6, 3), (2, 2, 1, 2, 12), (2, 2, 2, 10, 12)],
    *[(5, 1, 1, 1, 1467), (5, 1, 2, 7, 1467), (5, 1, 2, 8, 1467)],
]
TRAIN, QUERY, GALLERY = [1, 2, 3, 4], [5], [6, 7]


def picture(pair, person, number):
    return np.random.default_rng([pair, person, number]).integers(0, 256, (5, 3, 3), np.uint8)


def write_images(path, kinds=("detected", "labeled")):
    """Five cells of cells of images in the column-major order of MATLAB's version 7.3."""
    with h5py.File(path, "w", userblock_size=512) as file:
        nothing = file.create_dataset("#refs#/empty", data=np.zeros(2, np.uint64))
        for kind in kinds:
            pairs = file.create_dataset(kind, (1, 5), h5py.ref_dtype)
            for pair in range(1, 6):
                cells = file.create_dataset(f"#refs#/{kind}{pair}", (10, 2), h5py.ref_dtype)
                cells[()] = nothing.ref
                for _, person, _, number, _ in (row for row in LISTED if row[0] == pair):
                    name = f"#refs#/{kind}{pair}_{person}_{number}"
                    pixels = picture(pair, person, number).T  # (3, width, height)
                    cells[number - 1, person - 1] = file.create_dataset(name, data=pixels).ref
                pairs[0, pair - 1] = cells.ref


def write_config(path, **changes):
    names = np.empty((len(LISTED), 1), object)
    for row, (pair, person, view, number, _) in enumerate(LISTED):
        names[row, 0] = f"{pair}_{person:03d}_{view}_{number:02d}.png"
    fields = {
        "labels": np.array([[row[4]] for row in LISTED], np.float64),
        "filelist": names,
        "train_idx": np.array([TRAIN], np.uint16),
        "query_idx": np.array(QUERY)[:, None],
        "gallery_idx": np.array(GALLERY)[:, None],
    }
    fields |= changes
    savemat(path, {name: value for name, value in fields.items() if value is not None})


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "cuhk03"
    (folder / "cuhk03_release").mkdir(parents=True)
    write_images(folder / "cuhk03_release" / "cuhk-03.mat")
    for kind in ("detected", "labeled"):
        write_config(folder / f"cuhk03_new_protocol_config_{kind}.mat")
    return folder


@pytest.mark.parametrize("boxes", ["detected", "labeled"])
def test_converted_folders_are_read(source, boxes, tmp_path):
    out = data.convert_cuhk03(source, tmp_path / "out")
    dataset = data.load("cuhk03-np", out, boxes=boxes)
    facts = [[(s.path.name, s.identity, s.camera) for s in part] for part in dataset[1:]]
    assert facts == [
        [
            *[("0003_c1_01.png", 3, 1), ("0003_c2_06.png", 3, 2)],
            *[("0012_c3_02.png", 12, 3), ("0012_c4_10.png", 12, 4)],
        ],
        [("1467_c9_01.png", 1467, 9)],
        [("1467_c10_07.png", 1467, 10), ("1467_c10_08.png", 1467, 10)],
    ]
    for part, rows in zip(dataset[1:], (TRAIN, QUERY, GALLERY), strict=True):
        for sample, row in zip(part, rows, strict=True):
            pair, person, _, number, _ = LISTED[row - 1]
            np.testing.assert_array_equal(data.decode(sample.path), picture(pair, person, number))


def test_convert_command_writes_one_kind_of_boxes(source, tmp_path, capsys):
    out = tmp_path / "out"
    (source / "cuhk03_new_protocol_config_labeled.mat").unlink()
    flags = ["data", "convert", "cuhk03-np", str(source), str(out)]
    assert cli.main([*flags, "--json"]) == 1
    assert "cuhk03_new_protocol_config_labeled.mat" in capsys.readouterr().err
    assert not out.exists() and cli.main([*flags, "--boxes", "detected", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "root": str(out)}
    assert [path.name for path in out.iterdir()] == ["detected"]
    assert cli.main([*flags, "--boxes", "detected"]) == 1
    assert "OUT must not exist yet" in capsys.readouterr().err


def test_reader_advises_conversion_of_mat_files(source):
    with pytest.raises(FileNotFoundError, match=r"with: reid-ext data convert cuhk03-np .* OUT"):
        data.load("cuhk03-np", source)


@pytest.mark.parametrize("package, file", [("h5py", "cuhk-03"), ("scipy.io", "new_protocol")])
def test_convert_raises_without_h5py_or_scipy(package, file, source, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    missing = package.partition(".")[0]
    with pytest.raises(ImportError, match=rf"(?i){file}.* needs {missing}.*'reid_ext\[mat\]'"):
        data.convert_cuhk03(source, tmp_path / "out")


def broken(source, what):
    config = source / "cuhk03_new_protocol_config_detected.mat"
    images = source / "cuhk03_release" / "cuhk-03.mat"
    if what == "no image":
        write_config(config, filelist=np.array([["1_002_1_01.png"]] * len(LISTED), object))
    elif what == "person":
        write_config(config, filelist=np.array([["1_009_1_01.png"]] * len(LISTED), object))
    elif what == "numbers":
        with h5py.File(images, "r+") as file:
            file["detected"][0, 0] = file.create_dataset("numbers", data=np.ones((10, 2))).ref
    elif what == "row":
        write_config(config, query_idx=np.array([[8]]))
    elif what == "name":
        write_config(config, filelist=np.array([["1.png"]] * len(LISTED), object))
    elif what == "labels":
        write_config(config, labels=np.ones((2, 1)))
    elif what == "field":
        write_config(config, query_idx=None)
    elif what == "config":
        config.write_bytes(b"no .mat")
    elif what == "images":
        images.write_bytes(b"no .mat")
    elif what == "kind":
        write_images(images, kinds=("labeled",))
    else:
        images.unlink()


@pytest.mark.parametrize(
    "what, message",
    [
        ("no image", "must have a uint8 image with 3 channels for .*person 2.*got uint64"),
        ("person", r"person 9, number 1 of 'detected'\), got no image \(.*; unpack it again"),
        ("numbers", r"person 1, number 1 of 'detected'\), got no image \(.*; unpack it again"),
        ("row", "query_idx of .* must hold row numbers of files named like .* got '' in row 8"),
        ("name", "train_idx of .* got '1.png' in row 1"),
        ("labels", "must have a label for each file, got 2 labels for 7 files"),
        ("field", "must have the variables labels, .* got a file without query_idx"),
        ("config", "must be a .mat file of version 5"),
        ("images", "must be a .mat file of version 7.3"),
        ("kind", "must hold a variable 'detected' with the images of 5 camera pairs"),
        ("missing", "source must hold cuhk-03.mat, directly or in cuhk03_release"),
    ],
)
def test_convert_raises_for_broken_file_and_writes_nothing(what, message, source, tmp_path):
    broken(source, what)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        cuhk03_mat.convert(source, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cuhk03"]


def test_convert_writes_valid_png_files(source, tmp_path):
    out = data.convert_cuhk03(source, tmp_path / "out", boxes="labeled")
    for path in out.rglob("*.png"):
        assert cv2.imread(str(path)).shape == (5, 3, 3)
    assert data.check("cuhk03-np", out, boxes="labeled").splits["train"].images == 4
