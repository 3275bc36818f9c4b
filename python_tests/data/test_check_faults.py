"""data.check on the real file names of every dataset, with one fault at a time."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid_ext import data

MARKET = ("bounding_box_train", "query", "bounding_box_test")


def people(folders, name, train=(2, 7), test=(1, 5), cameras=(1, 2)):
    """Flat folders with one image per camera; the test images of the first camera are queries."""
    files = [f"{folders[0]}/{name(i, c)}" for i in train for c in cameras]
    files += [f"{folders[1]}/{name(i, cameras[0])}" for i in test]
    return files + [f"{folders[2]}/{name(i, c)}" for i in test for c in cameras]


def market1501():
    odd = ["bounding_box_test/0000_c1s1_000151_01.jpg", "bounding_box_test/-1_c2s1_000301_00.jpg"]
    odd += ["bounding_box_train/0007_c3s3_077419_03.jpg.jpg", "query/0005_c2s1_000451_00.JPG"]
    odd += [
        "bounding_box_train/0000_c2s1_000026_01.jpg",
        "bounding_box_train/-1_c2s1_000026_01.jpg",
    ]
    return [*people(MARKET, "{:04d}_c{}s1_000451_03.jpg".format), *odd], {}


def dukemtmc():
    return people(MARKET, "{:04d}_c{}_f0046985.jpg".format), {}


def cuhk03():
    folders = [f"detected/{folder}" for folder in MARKET]
    return people(folders, "{:04d}_c{}_21.png".format), {}


def veri776():
    folders = ("image_train", "image_query", "image_test")
    files = people(folders, "{:04d}_c{:03d}_00030600_0.jpg".format)
    lists = {
        f"name_{split}.txt": [Path(file).name for file in files if file.startswith(folder)]
        for split, folder in zip(("train", "query", "test"), folders, strict=True)
    }
    return files, lists


def msmt17():
    image = "{i:04d}/{i:04d}_000_{c:02d}_0303morning_0008_{n}.jpg"
    lists, files = {}, []
    for number, (split, folder) in enumerate(
        (("train", "train"), ("val", "train"), ("query", "test"), ("gallery", "test"))
    ):
        paths = [(image.format(i=i, c=c, n=number), i) for i in (0, 1) for c in (1, 2)]
        lists[f"list_{split}.txt"] = [f"{path} {i}" for path, i in paths]
        files += [f"{folder}/{path}" for path, _ in paths]
    return files, lists


def regdb():
    lists, files = {}, []
    for kind, folder, letter in (("visible", "Visible", "v"), ("thermal", "Thermal", "t")):
        image = f"{folder}/{{i}}/male_back_{letter}_05528_{{i}}.bmp"
        for trial in range(1, 11):
            for split, who in (("train", (1, 2)), ("test", (3, 4))):
                lines = [f"{image.format(i=i)} {place}" for place, i in enumerate(who)]
                lists[f"idx/{split}_{kind}_{trial}.txt"] = lines
        files += [image.format(i=i) for i in range(1, 5)]
    return files, lists


def sysu():
    files = [f"cam{c}/{i:04d}/000{n}.jpg" for c in range(1, 7) for i in (1, 2, 3) for n in (1, 2)]
    return files, {"exp/train_id.txt": ["1"], "exp/val_id.txt": ["2"], "exp/test_id.txt": ["3"]}


def llcm():
    lists = {"idx/test_id.txt": ["5,6"]}
    files = []
    for kind in ("vis", "nir"):
        image = f"{kind}/0001/0001_c{{c:02d}}_s185535_f7010_{kind}.jpg"
        lists[f"idx/train_{kind}.txt"] = [f"{image.format(c=c)} 0" for c in (1, 2)]
        files += [image.format(c=c) for c in (1, 2)]
        files += [f"test_{kind}/cam{c}/000{i}/a.jpg" for c in (1, 2) for i in (5, 6)]
    return files, lists


def vehicleid():
    numbers = {"train_list": (1, 2, 3), "test_list_800": (4, 5, 6)}
    lists = {
        f"train_test_split/{name}.txt": [f"{n:07d} {10 * found[0] + n // 3}" for n in found]
        for name, found in numbers.items()
    }
    return [f"image/{n:07d}.jpg" for n in range(1, 7)], lists


TREES = {
    **{"sysu-mm01": sysu, "regdb": regdb, "market1501": market1501, "dukemtmc-reid": dukemtmc},
    **{"cuhk03-np": cuhk03, "msmt17": msmt17, "veri776": veri776, "llcm": llcm},
    "vehicleid": vehicleid,
}
LISTED = [name for name, tree in TREES.items() if tree()[1]]
OPTIONAL = [(f"name_{split}", "missing") for split in ("train", "query", "test")]
OPTIONAL += [("val_id", "empty")]  # no validation identities
ADVICE = "; copy the originals again"
each = pytest.mark.parametrize("name", TREES)


@pytest.fixture
def root(name, tmp_path):
    files, lists = TREES[name]()
    image = np.full((8, 4, 3), 99, np.uint8)
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(cv2.imencode(Path(file).suffix.lower(), image)[1].tobytes())
    for file, lines in lists.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("\n".join(lines) + "\n")
    return tmp_path


def found(name, root):
    """The errors of a check."""
    report = data.check(name, root)
    assert report.dataset is None or report.splits["train"].images == len(report.dataset.train)
    return [f.message for f in report.findings if f.level == "error"]


@each
def test_check_accepts_real_file_names(name, root):
    assert found(name, root) == []
    findings = data.check(name, root, official=True).findings
    counts = [f.message for f in findings if f.kind == "count"]
    assert any("train must have" in m and "identities, got" in m for m in counts)


@each
def test_check_ignores_stray_files(name, root):
    for folder in [path for path in root.rglob("*") if path.is_dir()]:
        for stray in ("Thumbs.db", ".DS_Store", "._0001_c1_f0046182.jpg", "readme.txt"):
            (folder / stray).write_bytes(b"stray")
    assert found(name, root) == []


@pytest.mark.parametrize("name", ["sysu-mm01", "market1501", "dukemtmc-reid", "cuhk03-np"])
def test_check_reads_upper_case_endings(name, root):
    file = TREES[name]()[0][0]
    before = data.check(name, root).splits
    (root / file).rename((root / file).with_suffix(Path(file).suffix.upper()))
    assert found(name, root) == [] and data.check(name, root).splits == before


@each
@pytest.mark.parametrize(
    "content, what", [(b"", "is empty (0 bytes)"), (b"no image", "does not decode")]
)
def test_check_reports_every_broken_image(name, content, what, root):
    dataset = data.load(name, root)
    for samples in dataset[1:]:
        path = samples[0].path
        whole = path.read_bytes()
        path.write_bytes(content)
        assert found(name, root) == [f"1 image {what}: {path.relative_to(root)}{ADVICE}"]
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["regdb", "msmt17", "vehicleid", "llcm"])
def test_check_reports_missing_listed_image(name, root):
    path = data.load(name, root).train[0].path
    path.unlink()
    assert found(name, root) == [f"1 image is missing: {path.relative_to(root)}{ADVICE}"]


@pytest.mark.parametrize("name", LISTED)
@pytest.mark.parametrize("fault", ["missing", "empty", "binary", "cut"])
def test_check_reports_every_broken_list(name, fault, root):
    for file in TREES[name]()[1]:
        whole = (root / file).read_bytes()
        if fault == "missing":
            (root / file).unlink()
        else:
            content = {"empty": b"", "binary": b"\xff\xfe\x00\x01 x y", "cut": whole[:7]}[fault]
            if content == whole:
                continue  # the list is too short to be cut
            (root / file).write_bytes(content)
        messages = found(name, root)
        optional = (Path(file).stem, fault) in OPTIONAL
        assert bool(messages) != optional, file
        named = Path(file).stem.removesuffix("_id") if fault == "empty" else Path(file).stem
        assert optional or any(named in message for message in messages), (file, messages)
        (root / file).write_bytes(whole)


@each
def test_check_reports_every_missing_folder(name, root):
    top = {file.split("/")[0] for file in TREES[name]()[0]}
    for folder in top - {"vis", "nir"} - ({"test"} if name == "msmt17" else set()):
        shutil.move(root / folder, root.parent / "elsewhere")
        messages = found(name, root)
        assert messages and any(folder in m or "images are missing" in m for m in messages), folder
        shutil.move(root.parent / "elsewhere", root / folder)


@pytest.mark.parametrize(
    "name, file, old, new",
    [
        ("msmt17", "list_query.txt", "_01_0303", "_16_0303"),
        ("llcm", "idx/train_nir.txt", "_c02_", "_c10_"),
    ],
)
def test_check_reports_unknown_camera_in_list(name, file, old, new, root):
    (root / file).write_text((root / file).read_text().replace(old, new, 1))
    (message,) = found(name, root)
    assert "camera" in message and new in message


@pytest.mark.parametrize("name", ["sysu-mm01"])
@pytest.mark.parametrize("odd", ["0001.jpg.jpg", "1.jpg", "0001 (copy).jpg", "0001.png"])
def test_check_reports_ignored_sysu_images(name, odd, root):
    path = root / "cam2" / "0003" / odd
    shutil.copy(root / "cam2" / "0003" / "0001.jpg", path)
    (message,) = found(name, root)
    assert (
        odd in message and "images beside those in use, unlisted or named otherwise (1)" in message
    )


@each
def test_check_reports_file_or_empty_folder_as_root(name, root, tmp_path):
    for place in (root / "nowhere", root / "empty"):
        place.touch() if place.name == "nowhere" else place.mkdir()
        report = data.check(name, place)
        assert not report.ok and report.dataset is None
