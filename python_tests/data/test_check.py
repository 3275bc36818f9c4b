"""data.check reports each planted fault in every layout, also in invalid folders."""

import shutil

import numpy as np
import pytest

from reid_ext import ArgumentError, data
from reid_ext.data.readers.registry import MODULES
from reid_ext.synthetic import LAYOUTS

SMALL = {"identities": (3, 0, 3), "images": (3, 1), "workers": 1}
ADVICE = "; copy the originals again"
each = pytest.mark.parametrize("name", LAYOUTS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small synthetic dataset in every layout; some layouts lack images of some cameras."""
    folder = tmp_path_factory.mktemp("whole")
    identities = {"sysu-mm01": (3, 1, 3), "veri776": (12, 0, 6), "msmt17": (12, 0, 6)}
    identities |= {"cuhk03-np": (5, 0, 3)}
    for name in LAYOUTS:
        sizes = SMALL | {"identities": identities.get(name, SMALL["identities"])}
        data.synthesize(name, folder / name, **sizes)
    return folder


@pytest.fixture
def root(whole, name, tmp_path):
    return shutil.copytree(whole / name, tmp_path / "root")


def found(report, level="error"):
    return [f"{f.kind}: {f.message}" for f in report.findings if f.level == level]


def a_query(name, root):
    return data.load(name, root).query[0].path


@each
def test_check_accepts_synthetic_dataset(name, root):
    report = data.check(name, root)
    assert report.ok and found(report) == []
    assert "this is a synthetic dataset" in found(report, "note")[0]
    dataset = data.load(name, root)
    for role, samples in zip(("train", "query", "gallery"), dataset[1:], strict=True):
        summary = report.splits[role]
        assert summary.images == summary.with_view == len(samples)
        assert summary.identities == len({s.identity for s in samples})


@each
def test_check_compares_published_counts(name, root):
    (root / "synthetic.json").unlink()
    messages = found(data.check(name, root, images=False, official=True))
    expected = MODULES[name].expected()
    for role, count in zip(("train", "query", "gallery"), expected, strict=True):
        assert any(f"{role} must have {count.images:,} images, got" in m for m in messages)
    report = data.check(name, root, images=False)
    assert report.ok
    assert found(report, "note")[0].startswith("count: these are not the published counts, such as")


@pytest.mark.parametrize(
    "name, split, images",
    [
        ("cuhk03-np", {"boxes": "labeled"}, "7,368"),
        ("msmt17", {"train_on": "trainval"}, "32,621"),
        ("sysu-mm01", {"train_on": "trainval"}, "34,167"),
        ("regdb", {"trial": 7}, "4,120"),
    ],
)
def test_check_compares_counts_of_the_split(name, split, images, root):
    (root / "synthetic.json").unlink()
    messages = found(data.check(name, root, images=False, official=True, **split))
    assert any(f"train must have {images} images, got" in message for message in messages)


@pytest.mark.parametrize("name", ["sysu-mm01", "veri776"])
def test_check_skips_counts_of_validation_split(name, root):
    (root / "synthetic.json").unlink()
    report = data.check(name, root, images=False, evaluate_on="val")
    assert found(report, "note") == ["count: counts are published for evaluate_on='test' only"]
    assert report.ok


@each
def test_check_reports_empty_and_truncated_images(name, root):
    query, gallery = a_query(name, root), data.load(name, root).gallery[-1].path
    query.write_bytes(b"")
    gallery.write_bytes(gallery.read_bytes()[:500])
    messages = found(data.check(name, root))
    empty = f"image: 1 image is empty (0 bytes): {query.relative_to(root)}{ADVICE}"
    assert empty in messages
    assert f"image: 1 image does not decode: {gallery.relative_to(root)}{ADVICE}" in messages
    assert found(data.check(name, root, images=False)) == [empty]  # checks only the sizes


@pytest.mark.parametrize("name", ["msmt17", "regdb"])
def test_check_reports_missing_listed_image(name, root):
    query = a_query(name, root)
    query.unlink()
    report = data.check(name, root)
    assert found(report) == [f"image: 1 image is missing: {query.relative_to(root)}{ADVICE}"]
    assert report.findings[-1].paths == [query]


@each
def test_check_opens_images_of_broken_dataset(name, root):
    image = a_query(name, root)
    image.write_bytes(b"no image")
    folders = {s.path.parent for s in data.load(name, root).gallery} | {root / "idx"}
    for folder in folders - {image.parent}:
        shutil.rmtree(folder, ignore_errors=True)
    for path in root.glob("list_*"):
        path.unlink()
    report = data.check(name, root)
    assert report.dataset is None and report.splits == {}
    messages = found(report)
    assert messages[0].startswith(f"layout: {name}: ")
    assert f"image: 1 image does not decode: {image.relative_to(root)}{ADVICE}" in messages


@each
@pytest.mark.parametrize("content", [b"\xff\x00\xfe one, two", None], ids=["noise", "folder"])
def test_check_reports_noise_in_place_of_files(name, content, root):
    for path in [p for p in root.rglob("*") if p.is_file()]:
        path.unlink()
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
    assert not data.check(name, root).ok


@each
def test_check_reports_missing_root(name, tmp_path):
    messages = found(data.check(name, tmp_path / "nowhere"))
    assert len(messages) == 1 and "root must be the folder of the dataset" in messages[0]


@pytest.mark.parametrize("name", ["market1501", "dukemtmc-reid", "cuhk03-np", "veri776"])
def test_check_reports_invalid_file_name(name, root):
    query = a_query(name, root)
    shutil.copy(query, query.with_name("0001_c99_x.jpg"))
    assert "0001_c99_x.jpg" in found(data.check(name, root, images=False))[0]


@pytest.mark.parametrize("name, camera", [("market1501", 3), ("dukemtmc-reid", 8)])
def test_check_reports_camera_without_images(name, camera, root):
    for path in root.rglob(f"*_c{camera}*"):
        path.unlink()
    assert data.check(name, root, images=False).ok
    messages = found(data.check(name, root, images=False, official=True))
    message = f"camera: every camera must have images, got no image of camera {camera}; copy the"
    assert f"{message} missing files" in messages


@pytest.mark.parametrize("name", ["market1501", "veri776"])
def test_check_reports_identity_in_train_and_test(name, root):
    query, train = a_query(name, root), data.load(name, root).train[0].path
    shutil.copy(query, train.with_name(query.name))
    messages = found(data.check(name, root, images=False))
    identity = int(query.name[:4])
    message = f"identities must be in either train or test, got {identity} in both; remove their"
    assert f"identity: {message} images from one of them" in messages


def test_check_reports_image_in_train_and_test(whole, tmp_path):
    root = shutil.copytree(whole / "regdb", tmp_path / "root")
    lists = root / "idx"
    line = (lists / "test_visible_1.txt").read_text().splitlines()[0]
    with open(lists / "train_visible_1.txt", "a") as file:
        file.write(line + "\n" + line + "\n")
    messages = found(data.check("regdb", root, images=False))
    advice = "restore the lists of the dataset"
    assert f"identity: images must be in either train or test, got 1 in both; {advice}" in messages
    once = "train must list each image once, got 1 more than once; remove the duplicate lines"
    assert f"list: {once}" in messages
    trial = f"trial 1 must have no images in both train and test, got 1; {advice}"
    assert f"list: regdb: {trial}" in messages


def test_check_warns_of_queries_without_match(whole, tmp_path):
    root = shutil.copytree(whole / "market1501", tmp_path / "root")
    for path in (root / "bounding_box_test").glob("0005_c[2-6]*"):
        path.unlink()
    warnings = found(data.check("market1501", root, images=False), "warning")
    assert warnings == [
        "identity: 1 of 18 queries have no match in another camera (identity 5); the evaluation "
        "skips them"
    ]


@pytest.mark.parametrize(
    "name, file", [("regdb", "idx/test_thermal_9.txt"), ("msmt17", "list_val.txt")]
)
def test_check_reads_lists_of_other_splits(name, file, root):
    (root / file).write_text("an invalid line\n")
    messages = found(data.check(name, root, images=False))
    messages = [message for message in messages if message.startswith("list: ")]
    assert len(messages) == 1 and messages[0].startswith(f"list: {name}: ") and file in messages[0]


def test_check_reports_msmt17_val_images_in_train(whole, tmp_path):
    root = shutil.copytree(whole / "msmt17", tmp_path / "root")
    shutil.copy(root / "list_train.txt", root / "list_val.txt")
    messages = found(data.check("msmt17", root, images=False))
    assert len(messages) == 2 and "no images of list_train.txt, got" in messages[1]
    assert "left out: images beside those in use, unlisted or named otherwise (24)" in messages[0]


def test_check_compares_veri776_lists_and_folders(whole, tmp_path):
    root = shutil.copytree(whole / "veri776", tmp_path / "root")
    query = a_query("veri776", root)
    query.unlink()
    shutil.copy(a_query("veri776", root), query.with_name("0999_c001_00000001_0.jpg"))
    messages = found(data.check("veri776", root, images=False))
    differ = "veri776: name_query.txt has 1 image that is missing in image_query"
    assert f"list: {differ}: {query.name}; copy both again" in messages
    differ = "image_query has 1 image that is missing in name_query.txt: 0999"
    assert any(differ in message for message in messages)


def test_check_compares_sysu_permutations_and_folders(whole, tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    root = shutil.copytree(whole / "sysu-mm01", tmp_path / "root")
    cells = np.empty(6, object)
    for camera in range(6):
        cells[camera] = np.empty(7, object)
        for identity in range(7):
            cells[camera][identity] = np.zeros((0, 0))
    cells[0][6] = np.tile(np.arange(1, 5), (10, 1))  # four images where there are three
    savemat(root / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": cells})
    messages = found(data.check("sysu-mm01", root, images=False))
    assert len(messages) == 1 and "0007 must have 4 images, got 3" in messages[0]


def test_check_raises_for_unknown_names(tmp_path):
    with pytest.raises(ValueError, match=r"data\.check: name must be one of 'sysu-mm01', "):
        data.check("imagenet", tmp_path)
    with pytest.raises(ValueError, match="regdb must be among evaluate_on, trial, got fold"):
        data.check("regdb", tmp_path, fold=1)


def test_report_lines_end_with_the_verdict(tmp_path):
    lines = list(data.report_lines(data.check("market1501", tmp_path)))
    assert lines[0].startswith("error: ") and lines[-1].startswith("market1501: ")


def test_check_split_raises_for_unknown_arguments():
    data.check_split("f", "cuhk03-np", ["boxes"])
    with pytest.raises(ArgumentError, match=r"be among evaluate_on, .*, got color"):
        data.check_split("f", "cuhk03-np", ["color"])
