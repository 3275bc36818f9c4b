"""The SYSU-MM01 reader on tiny folders: its samples and its errors."""

import builtins

import numpy as np
import pytest

from reid_ext import data

TRAIN, VAL, TEST = [1, 3], [5], [6, 8]
CAMERAS = range(1, 7)


def write_images(folder, names):
    """Write empty files, because the reader opens no image."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


@pytest.fixture
def root(tmp_path):
    """Five identities with two images in each camera; camera 2 has none of identity 8."""
    root = tmp_path / "SYSU-MM01"
    (root / "exp").mkdir(parents=True)
    for split, identities in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        (root / "exp" / f"{split}_id.txt").write_text(",".join(map(str, identities)) + "\n")
        for camera in CAMERAS:
            for identity in identities:
                if (identity, camera) != (8, 2):
                    write_images(
                        root / f"cam{camera}" / f"{identity:04d}", ["0002.jpg", "0001.jpg"]
                    )
    return root


def identities(samples):
    return sorted({sample.identity for sample in samples})


def test_sysu_reader_loads_all_splits(root):
    dataset = data.load("sysu-mm01", root)
    assert dataset.name == "sysu-mm01"
    assert identities(dataset.train) == TRAIN
    assert len(dataset.train) == 2 * 6 * 2
    assert identities(dataset.query) == identities(dataset.gallery) == TEST
    assert {sample.camera for sample in dataset.query} == {3, 6}
    assert {sample.camera for sample in dataset.gallery} == {1, 2, 4, 5}
    assert len(dataset.query) == 2 * 2 * 2
    assert len(dataset.gallery) == 2 * 4 * 2 - 2


def test_sysu_samples_are_sorted_and_have_a_modality(root):
    samples = data.load("sysu-mm01", root).train
    assert samples == sorted(samples, key=lambda s: (s.camera, s.identity, s.path.name))
    assert samples[0] == data.Sample(root / "cam1" / "0001" / "0001.jpg", 1, 1, None, data.VISIBLE)
    assert all((s.modality == data.INFRARED) == (s.camera in (3, 6)) for s in samples)


def test_sysu_reader_loads_synthetic_views(root):
    (root / "views.json").write_text('{"cam1/0001/0002.jpg": 2, "cam3/0006/0001.jpg": 0}')
    dataset = data.load("sysu-mm01", root)
    assert [sample.view for sample in dataset.train[:3]] == [None, 2, None]
    assert dataset.query[0].view == 0


def test_sysu_reader_adds_val_to_train(root):
    dataset = data.load("sysu-mm01", str(root), train_on="trainval")
    assert identities(dataset.train) == TRAIN + VAL
    assert data.relabel(dataset.train) == {1: 0, 3: 1, 5: 2}


def test_sysu_reader_evaluates_on_val(root):
    dataset = data.load("sysu-mm01", root, evaluate_on="val")
    assert identities(dataset.train) == TRAIN
    assert identities(dataset.query) == identities(dataset.gallery) == VAL


def test_sysu_reader_ignores_stray_files(root):
    before = data.load("sysu-mm01", root).train
    stray = ["Thumbs.db", ".DS_Store", "._0001.jpg", "0001 (copy).jpg", "12345.jpg"]
    write_images(root / "cam1" / "0001", [*stray, "0003.JPG"])
    write_images(root / "cam1", ["Thumbs.db"])
    after = data.load("sysu-mm01", root).train
    assert [s.path.name for s in set(after) - set(before)] == ["0003.JPG"]


def test_sysu_reader_loads_identities_with_bom_and_spaces(root):
    (root / "exp" / "train_id.txt").write_bytes(b"\xef\xbb\xbf3, 1,\r\n")
    assert data.sysu.read_identities(root)["train"] == TRAIN


def test_sysu_reader_loads_identities_from_mat(root):
    savemat = pytest.importorskip("scipy.io").savemat
    expected = data.load("sysu-mm01", root)
    for split, numbers in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        (root / "exp" / f"{split}_id.txt").unlink()
        savemat(root / "exp" / f"{split}_id.mat", {"id": np.array([numbers], np.float64)})
    assert data.load("sysu-mm01", root) == expected


def test_image_numbers_count_per_camera_and_identity(root):
    gallery = data.load("sysu-mm01", root).gallery
    numbers = data.sysu.image_numbers(gallery[::-1])[::-1]
    assert numbers == [int(sample.path.stem) for sample in gallery]
    (root / "cam1" / "0006" / "0001.jpg").rename(root / "cam1" / "0006" / "0009.jpg")
    gallery = data.load("sysu-mm01", root).gallery
    named = {s.path.name: n for s, n in zip(gallery, data.sysu.image_numbers(gallery), strict=True)}
    assert (gallery[0].path.name, data.sysu.image_numbers(gallery)[0]) == ("0002.jpg", 1)
    assert named["0009.jpg"] == 2


def write_permutations(path, cells):
    """Write rand_perm_cam.mat: for each of six cameras, one cell per identity 1..8."""
    savemat = pytest.importorskip("scipy.io").savemat
    cameras = np.empty((6, 1), object)
    for camera in CAMERAS:
        cameras[camera - 1, 0] = np.empty((8, 1), object)
        for identity in range(1, 9):
            cell = cells.get((camera, identity), np.zeros((0, 0)))
            cameras[camera - 1, 0][identity - 1, 0] = cell
    savemat(path, {"rand_perm_cam": cameras})


def test_load_permutations_reads_all_cells(root):
    rng = np.random.default_rng(0)
    cells = {
        (camera, identity): np.stack([rng.permutation(n) + 1 for _ in range(10)]).astype(np.uint8)
        for camera, identity, n in ((1, 6, 5), (2, 6, 1), (5, 8, 20))
    }
    write_permutations(root / "exp" / "rand_perm_cam.mat", cells)
    read = data.sysu.load_permutations(root)
    assert read.keys() == cells.keys()
    for key, cell in cells.items():
        assert read[key].dtype == np.int64
        np.testing.assert_array_equal(read[key], cell)


def test_load_permutations_returns_none_without_file(root):
    assert data.sysu.load_permutations(root) is None


def test_load_permutations_raises_for_invalid_numbers(root):
    write_permutations(root / "exp" / "rand_perm_cam.mat", {(4, 6): np.array([[1, 2], [0, 1]])})
    with pytest.raises(ValueError, match=r"camera 4, identity 6 must be a permutation of 1\.\.2"):
        data.sysu.load_permutations(root)


def test_load_permutations_raises_for_other_form(root):
    savemat = pytest.importorskip("scipy.io").savemat
    savemat(root / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": np.ones((2, 3))})
    with pytest.raises(ValueError, match="must hold 6 cells, one per camera, got 6 values"):
        data.sysu.load_permutations(root)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(600)])
def test_load_permutations_raises_for_other_mat_file(root, content):
    pytest.importorskip("scipy.io")
    (root / "exp" / "rand_perm_cam.mat").write_bytes(content)
    with pytest.raises(ValueError, match=r"rand_perm_cam\.mat must be a \.mat file of version 5"):
        data.sysu.load_permutations(root)


def test_load_permutations_raises_for_several_variables(root):
    savemat = pytest.importorskip("scipy.io").savemat
    savemat(root / "exp" / "rand_perm_cam.mat", {"a": 1, "b": 2})
    with pytest.raises(ValueError, match=r"must hold one variable, got 2 \(a, b\); restore the"):
        data.sysu.load_permutations(root)


@pytest.mark.parametrize("number", [1.5, -1, np.nan, np.inf])
def test_sysu_reader_raises_for_identities_that_are_not_integers(root, number):
    savemat = pytest.importorskip("scipy.io").savemat
    (root / "exp" / "train_id.txt").unlink()
    savemat(root / "exp" / "train_id.mat", {"id": [[1, number]]})
    with pytest.raises(
        ValueError, match=rf"train_id\.mat must hold identities.* got {number}; restore"
    ):
        data.load("sysu-mm01", root)


def test_sysu_reader_raises_for_mat_without_scipy(root, monkeypatch):
    real = builtins.__import__

    def without_scipy(name, *args, **kwargs):
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    (root / "exp" / "train_id.txt").rename(root / "exp" / "train_id.mat")
    monkeypatch.setattr(builtins, "__import__", without_scipy)
    with pytest.raises(ImportError, match=r"pip install 'reid_ext\[mat\]'"):
        data.load("sysu-mm01", root)


def test_load_lists_known_names_for_unknown_name(root):
    with pytest.raises(ValueError, match=r"name must be one of 'sysu-mm01'.*got 'sysu'"):
        data.load("sysu", root)


@pytest.mark.parametrize("split", [{"evaluate_on": "train"}, {"train_on": "all"}])
def test_sysu_reader_raises_for_unknown_split(root, split):
    with pytest.raises(ValueError, match=f"{next(iter(split))} must be"):
        data.load("sysu-mm01", root, **split)


def test_sysu_reader_raises_for_evaluation_on_train_identities(root):
    with pytest.raises(ValueError, match="evaluate_on must be 'test' when train_on is 'trainval'"):
        data.load("sysu-mm01", root, train_on="trainval", evaluate_on="val")


def test_sysu_reader_raises_for_wrong_root(root):
    with pytest.raises(FileNotFoundError, match="root must be the folder of the dataset"):
        data.load("sysu-mm01", root / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"without exp, cam1.*did you mean"):
        data.load("sysu-mm01", root.parent)


def test_sysu_reader_raises_for_missing_camera_folder(root):
    (root / "cam4").rename(root / "camera4")
    with pytest.raises(FileNotFoundError, match="without cam4;"):
        data.load("sysu-mm01", root)


def test_sysu_reader_raises_for_missing_identity_file(root):
    (root / "exp" / "val_id.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"exp must hold val_id\.txt or val_id\.mat"):
        data.load("sysu-mm01", root)


@pytest.mark.parametrize("text", ["1,two", "1;3", "-1", "1.5", "\u00b2", "9" * 5000])
def test_sysu_reader_raises_for_invalid_identity_file(root, text):
    (root / "exp" / "train_id.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="must hold identities separated by commas, got"):
        data.load("sysu-mm01", root)


def test_sysu_reader_raises_for_identity_in_two_splits(root):
    (root / "exp" / "val_id.txt").write_text("5,6")
    with pytest.raises(ValueError, match="identity 6 in both val and test"):
        data.load("sysu-mm01", root)


def test_sysu_reader_raises_for_empty_folder(root):
    for image in (root / "cam5" / "0003").iterdir():
        image.unlink()
    with pytest.raises(ValueError, match=r"cam5.0003 must hold images named 0001\.jpg"):
        data.load("sysu-mm01", root)


def remove(root, identity, cameras):
    for camera in cameras:
        folder = root / f"cam{camera}" / f"{identity:04d}"
        folder.rename(root / f"gone-{camera}-{identity}")


def test_sysu_reader_raises_without_infrared_images(root):
    remove(root, 3, (3, 6))
    with pytest.raises(
        ValueError, match="infrared images, got no images of identity 3 in cameras 3, 6"
    ):
        data.load("sysu-mm01", root)


def test_sysu_reader_raises_without_visible_images(root):
    remove(root, 1, (1, 2, 4, 5))
    with pytest.raises(
        ValueError, match="visible images, got no images of identity 1 in cameras 1, 2"
    ):
        data.load("sysu-mm01", root)


def test_sysu_reader_shortens_long_lists_of_identities(root):
    (root / "exp" / "train_id.txt").write_text(",".join(map(str, range(100, 130))))
    with pytest.raises(ValueError, match=r"identities 100, .*, 109 and 20 more in cameras"):
        data.load("sysu-mm01", root)


def test_sysu_reader_accepts_test_identity_without_infrared(root):
    remove(root, 8, (3, 6))
    dataset = data.load("sysu-mm01", root)
    assert identities(dataset.query) == [6]
    assert identities(dataset.gallery) == TEST


@pytest.mark.parametrize("split, role", [("train", "train"), ("test", "query")])
def test_sysu_reader_raises_for_empty_split(root, split, role):
    (root / "exp" / f"{split}_id.txt").write_text("\n")
    with pytest.raises(ValueError, match=f"sysu-mm01: {role} must"):
        data.load("sysu-mm01", root)
