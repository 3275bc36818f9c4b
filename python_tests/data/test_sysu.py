"""The SYSU-MM01 reader on tiny trees: what it finds, and what it says when something is wrong."""

import builtins

import numpy as np
import pytest

from reid_ext import data

TRAIN, VAL, TEST = [1, 3], [5], [6, 8]
CAMERAS = range(1, 7)


def write_images(folder, names):
    """The reader opens no image, so an empty file will do."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


@pytest.fixture
def root(tmp_path):
    """Five identities, two images in each camera, but identity 8 never before camera 2."""
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


def test_reads_train_query_and_gallery(root):
    dataset = data.load("sysu-mm01", root)
    assert dataset.name == "sysu-mm01"
    assert identities(dataset.train) == TRAIN
    assert len(dataset.train) == 2 * 6 * 2
    assert identities(dataset.query) == identities(dataset.gallery) == TEST
    assert {sample.camera for sample in dataset.query} == {3, 6}
    assert {sample.camera for sample in dataset.gallery} == {1, 2, 4, 5}
    assert len(dataset.query) == 2 * 2 * 2
    assert len(dataset.gallery) == 2 * 4 * 2 - 2


def test_samples_are_sorted_and_say_their_modality(root):
    samples = data.load("sysu-mm01", root).train
    assert samples == sorted(samples, key=lambda s: (s.camera, s.identity, s.path.name))
    assert samples[0] == data.Sample(root / "cam1" / "0001" / "0001.jpg", 1, 1, None, data.VISIBLE)
    assert all((s.modality == data.INFRARED) == (s.camera in (3, 6)) for s in samples)


def test_reads_the_views_of_the_embedded_dataset(root):
    (root / "views.json").write_text('{"cam1/0001/0002.jpg": 2, "cam3/0006/0001.jpg": 0}')
    dataset = data.load("sysu-mm01", root)
    assert [sample.view for sample in dataset.train[:3]] == [None, 2, None]
    assert dataset.query[0].view == 0


def test_trains_on_train_and_val(root):
    dataset = data.load("sysu-mm01", str(root), train_on="trainval")
    assert identities(dataset.train) == TRAIN + VAL
    assert data.relabel(dataset.train) == {1: 0, 3: 1, 5: 2}


def test_evaluates_on_val(root):
    dataset = data.load("sysu-mm01", root, evaluate_on="val")
    assert identities(dataset.train) == TRAIN
    assert identities(dataset.query) == identities(dataset.gallery) == VAL


def test_passes_over_stray_files_and_takes_upper_case_names(root):
    before = data.load("sysu-mm01", root).train
    stray = ["Thumbs.db", ".DS_Store", "._0001.jpg", "0001 (copy).jpg", "12345.jpg"]
    write_images(root / "cam1" / "0001", [*stray, "0003.JPG"])
    write_images(root / "cam1", ["Thumbs.db"])
    after = data.load("sysu-mm01", root).train
    assert [s.path.name for s in set(after) - set(before)] == ["0003.JPG"]


def test_reads_identities_with_spaces_mark_and_line_breaks(root):
    (root / "exp" / "train_id.txt").write_bytes(b"\xef\xbb\xbf3, 1,\r\n")
    assert data.sysu.read_identities(root)["train"] == TRAIN


def test_reads_identities_from_mat(root):
    savemat = pytest.importorskip("scipy.io").savemat
    expected = data.load("sysu-mm01", root)
    for split, numbers in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        (root / "exp" / f"{split}_id.txt").unlink()
        savemat(root / "exp" / f"{split}_id.mat", {"id": np.array([numbers], np.float64)})
    assert data.load("sysu-mm01", root) == expected


def test_image_numbers_count_within_camera_and_identity(root):
    gallery = data.load("sysu-mm01", root).gallery
    numbers = data.sysu.image_numbers(gallery[::-1])[::-1]
    assert numbers == [int(sample.path.stem) for sample in gallery]
    (root / "cam1" / "0006" / "0001.jpg").rename(root / "cam1" / "0006" / "0009.jpg")
    gallery = data.load("sysu-mm01", root).gallery
    named = {s.path.name: n for s, n in zip(gallery, data.sysu.image_numbers(gallery), strict=True)}
    assert (gallery[0].path.name, data.sysu.image_numbers(gallery)[0]) == ("0002.jpg", 1)
    assert named["0009.jpg"] == 2


def write_permutations(path, cells):
    """rand_perm_cam.mat: six cells, in each one cell per identity 1..8, empty where not seen."""
    savemat = pytest.importorskip("scipy.io").savemat
    cameras = np.empty((6, 1), object)
    for camera in CAMERAS:
        cameras[camera - 1, 0] = np.empty((8, 1), object)
        for identity in range(1, 9):
            cell = cells.get((camera, identity), np.zeros((0, 0)))
            cameras[camera - 1, 0][identity - 1, 0] = cell
    savemat(path, {"rand_perm_cam": cameras})


def test_reads_permutations(root):
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


def test_no_permutation_file_gives_none(root):
    assert data.sysu.load_permutations(root) is None


def test_rejects_permutations_of_other_numbers(root):
    write_permutations(root / "exp" / "rand_perm_cam.mat", {(4, 6): np.array([[1, 2], [0, 1]])})
    with pytest.raises(ValueError, match=r"camera 4, identity 6 must be a permutation of 1\.\.2"):
        data.sysu.load_permutations(root)


def test_rejects_permutations_of_other_form(root):
    savemat = pytest.importorskip("scipy.io").savemat
    savemat(root / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": np.ones((2, 3))})
    with pytest.raises(ValueError, match="must hold 6 cells, one per camera, got 6 values"):
        data.sysu.load_permutations(root)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(600)])
def test_rejects_foreign_mat_file(root, content):
    pytest.importorskip("scipy.io")
    (root / "exp" / "rand_perm_cam.mat").write_bytes(content)
    with pytest.raises(ValueError, match=r"rand_perm_cam\.mat must be a \.mat file of version 5"):
        data.sysu.load_permutations(root)


def test_rejects_mat_of_several_variables(root):
    savemat = pytest.importorskip("scipy.io").savemat
    savemat(root / "exp" / "rand_perm_cam.mat", {"a": 1, "b": 2})
    with pytest.raises(ValueError, match=r"must hold one variable, got 2 \(a, b\); restore the"):
        data.sysu.load_permutations(root)


@pytest.mark.parametrize("number", [1.5, -1, np.nan, np.inf])
def test_rejects_identities_in_mat_that_are_no_whole_numbers(root, number):
    savemat = pytest.importorskip("scipy.io").savemat
    (root / "exp" / "train_id.txt").unlink()
    savemat(root / "exp" / "train_id.mat", {"id": [[1, number]]})
    with pytest.raises(ValueError, match=rf"train_id\.mat must hold identities .* '{number}'"):
        data.load("sysu-mm01", root)


def test_mat_without_scipy_says_how_to_install_it(root, monkeypatch):
    real = builtins.__import__

    def without_scipy(name, *args, **kwargs):
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    (root / "exp" / "train_id.txt").rename(root / "exp" / "train_id.mat")
    monkeypatch.setattr(builtins, "__import__", without_scipy)
    with pytest.raises(ImportError, match="pip install scipy"):
        data.load("sysu-mm01", root)


def test_unknown_name_lists_the_known_ones(root):
    with pytest.raises(ValueError, match=r"name must be one of sysu-mm01.*got 'sysu'"):
        data.load("sysu", root)


@pytest.mark.parametrize("split", [{"evaluate_on": "train"}, {"train_on": "all"}])
def test_rejects_unknown_split_by_name(root, split):
    with pytest.raises(ValueError, match=f"{next(iter(split))} must be"):
        data.load("sysu-mm01", root, **split)


def test_rejects_evaluation_on_trained_identities(root):
    with pytest.raises(ValueError, match="evaluate_on must be 'test' when train_on is 'trainval'"):
        data.load("sysu-mm01", root, train_on="trainval", evaluate_on="val")


def test_wrong_root(root):
    with pytest.raises(FileNotFoundError, match="root must be the folder of the dataset"):
        data.load("sysu-mm01", root / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"without exp, cam1.*was unpacked"):
        data.load("sysu-mm01", root.parent)


def test_missing_camera_folder_is_named(root):
    (root / "cam4").rename(root / "camera4")
    with pytest.raises(FileNotFoundError, match="without cam4;"):
        data.load("sysu-mm01", root)


def test_missing_identity_file_is_named(root):
    (root / "exp" / "val_id.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"exp must hold val_id\.txt or val_id\.mat"):
        data.load("sysu-mm01", root)


@pytest.mark.parametrize("text", ["1,two", "1;3", "-1", "1.5", "\u00b2", "9" * 5000])
def test_rejects_identity_file_with_other_words(root, text):
    (root / "exp" / "train_id.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="must hold identities separated by commas, got"):
        data.load("sysu-mm01", root)


def test_rejects_identity_in_two_splits(root):
    (root / "exp" / "val_id.txt").write_text("5,6")
    with pytest.raises(ValueError, match="identity 6 in both val and test"):
        data.load("sysu-mm01", root)


def test_empty_folder_is_named(root):
    for image in (root / "cam5" / "0003").iterdir():
        image.unlink()
    with pytest.raises(ValueError, match=r"cam5.0003 must hold images named 0001\.jpg"):
        data.load("sysu-mm01", root)


def remove(root, identity, cameras):
    for camera in cameras:
        folder = root / f"cam{camera}" / f"{identity:04d}"
        folder.rename(root / f"gone-{camera}-{identity}")


def test_training_identity_without_infrared_images_is_named(root):
    remove(root, 3, (3, 6))
    with pytest.raises(
        ValueError, match="infrared images, got none for identity 3 in cameras 3, 6"
    ):
        data.load("sysu-mm01", root)


def test_training_identity_without_visible_images_is_named(root):
    remove(root, 1, (1, 2, 4, 5))
    with pytest.raises(ValueError, match="visible images, got none for identity 1 in cameras 1, 2"):
        data.load("sysu-mm01", root)


def test_many_identities_without_images_are_cut_short(root):
    (root / "exp" / "train_id.txt").write_text(",".join(map(str, range(100, 130))))
    with pytest.raises(ValueError, match=r"identities 100, .*, 109 and 20 more in cameras"):
        data.load("sysu-mm01", root)


def test_test_identity_without_infrared_images_is_normal(root):
    remove(root, 8, (3, 6))
    dataset = data.load("sysu-mm01", root)
    assert identities(dataset.query) == [6]
    assert identities(dataset.gallery) == TEST


@pytest.mark.parametrize("split, role", [("train", "train"), ("test", "query")])
def test_rejects_empty_split(root, split, role):
    (root / "exp" / f"{split}_id.txt").write_text("\n")
    with pytest.raises(ValueError, match=f"sysu-mm01: {role} must"):
        data.load("sysu-mm01", root)
