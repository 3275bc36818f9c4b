"""Readers of view labels: every file format, and pickles that contain more than plain values."""

import json
import pickle
from pathlib import Path

import pytest

from reid_ext.data import Dataset, Sample, read_view_labels, with_views

LABELS = {
    "0001_c1s1_1_00.jpg": (0, "front"),
    "0002_c2s1_1_00.jpg": (0, "front_side"),
    "0003_c3s1_1_00.jpg": (1, "side"),
    "0004_c4s1_1_00.jpg": (2, "back_side"),
    "0005_c5s1_1_00.jpg.jpg": (1, "noise"),
}
WANTED = {name: view for name, (view, _) in LABELS.items()}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reader_loads_every_pickle_protocol(protocol, tmp_path):
    path = tmp_path / "market_image_map_direction.pkl"
    path.write_bytes(pickle.dumps(LABELS, protocol=protocol))
    assert read_view_labels(path) == WANTED


def test_reader_loads_python_2_pickles(tmp_path):
    path = tmp_path / "market_image_map_direction_py2.pkl"
    path.write_bytes(b"\x80\x02}q\x00U\x05a.jpgq\x01K\x02U\x04backq\x02\x86q\x03s.")
    assert read_view_labels(path) == {"a.jpg": 2}


def test_reader_loads_csv_and_json(tmp_path):
    (tmp_path / "views.csv").write_text("path,view,more\ntrain/a.jpg,front,1\nb.jpg,2,\n")
    (tmp_path / "views.json").write_text(json.dumps({"x/y/a.jpg": "front", "b.jpg": 2}))
    for name in ("views.csv", "views.json"):
        assert read_view_labels(tmp_path / name) == {"a.jpg": 0, "b.jpg": 2}


def key_points(*orientations):
    """Lines of VeRi-776's annotations, with one image for each orientation."""
    points = "12 34 " * 19 + "-1 -1"
    lines = [f"VeRi/image_train/000{o + 1}_c001_{o}.jpg {points} {o}\n" for o in orientations]
    return "".join(lines)


def test_reader_loads_key_points_of_veri776(tmp_path):
    names = ("none", "front", "rear", "left", "left front", "left rear")
    names += ("right", "right front", "right rear")
    file = tmp_path / "keypoint_train.txt"
    file.write_text(key_points(*range(-1, 8)))
    wanted = {"front": 0, "left front": 0, "right front": 0, "left": 1, "right": 1}
    wanted |= {"rear": 2, "left rear": 2, "right rear": 2}
    got = read_view_labels(file)
    assert got == {
        f"000{place}_c001_{place - 1}.jpg": wanted[name]
        for place, name in enumerate(names)
        if name in wanted
    }
    assert read_view_labels(tmp_path) == got  # the folder contains one of the two files
    (tmp_path / "keypoint_test.txt").write_text(key_points(0).replace("0001_", "0999_"))
    assert read_view_labels(tmp_path) == got | {"0999_c001_0.jpg": 0}


def test_reader_skips_images_without_a_view(tmp_path):
    (tmp_path / "views.csv").write_text("path,view\na.jpg,\nb.jpg,back\n")
    (tmp_path / "views.json").write_text('{"a.jpg": null, "b.jpg": 2}')
    for name in ("views.csv", "views.json"):
        assert read_view_labels(tmp_path / name) == {"b.jpg": 2}


def test_with_views_ignores_file_endings():
    names = ("0003_c1_21.png", "a.jpg.jpg", "c.JPG", "d.png")
    samples = [Sample(Path(name), 1, 1) for name in names]
    labels = {"0003_c1_21.jpg": 2, "a.jpg": 1, "c.jpg": 0, "d.png": 1, "d.jpg": 2}
    got = with_views(Dataset("cuhk03-np", samples, [], []), labels)
    assert [s.view for s in got.dataset.train] == [2, 1, 0, 1]


def test_with_views_matches_file_names():
    def samples(*names):
        return [Sample(Path("somewhere") / name, 1, 1) for name in names]

    dataset = Dataset("market1501", samples("a.jpg", "b.jpg"), samples("c.jpg"), samples("a.jpg"))
    got = with_views(dataset, {"a.jpg": 2, "c.jpg": 0})
    assert [s.view for s in got.dataset.train] == [2, None]
    assert [s.view for s in got.dataset.query + got.dataset.gallery] == [0, 2]
    assert got.missing == {"train": 1, "query": 0, "gallery": 0}
    assert [s.view for s in dataset.train] == [None, None]


class Runs:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_reader_raises_for_pickles_with_code(protocol, tmp_path):
    path, ran = tmp_path / "views.pkl", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"a.jpg": Runs(ran)}, protocol=protocol))
    with pytest.raises(
        ValueError, match=r"must be a pickle of plain values.*a reference to.*no code"
    ):
        read_view_labels(path)
    assert not ran.exists()


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "must be a pickle of plain values"),
        (b"\x80\x04garbage", "must be a pickle of plain values"),
        (b"cos\nsystem\n(S'true'\ntR.", "a reference to os.system"),
        (b"Pouter\n.", "a reference to an external object"),
        (pickle.dumps([1, 2]), "must hold a dict of file names, got list"),
        (pickle.dumps({"a.jpg": 1}), r"'a.jpg' must have a view and its name.*got 1"),
        (pickle.dumps({"a.jpg": (1, "front")}), r"got \(1, 'front'\)"),
        (pickle.dumps({3: (0, "front")}), "3 must have a view"),
        (
            pickle.dumps({"x/a.jpg": (0, "front"), "a.jpg": (1, "side")}),
            "one view for each.*'a.jpg'",
        ),
    ],
)
def test_reader_raises_for_invalid_pickles(content, message, tmp_path):
    path = tmp_path / "views.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_view_labels(path)


@pytest.mark.parametrize(
    "name, content, message",
    [
        (
            "views.csv",
            "image,view\na.jpg,0\n",
            "must have the columns path, view, got the header",
        ),
        ("views.csv", "path,view\na.jpg,top\n", "view of 'a.jpg' must be one of 0, 1, 2, front"),
        ("views.json", "{", "must be JSON"),
        ("views.json", "[1]", "must be a JSON object, got list; write"),
        ("views.json", '{"a.jpg": 3}', "view of 'a.jpg' must be one of .* got 3"),
        ("views.xml", "", "path must end in .pkl, .csv, .json, .txt, got 'views.xml'"),
        (
            "keys.txt",
            "a.jpg 0\n",
            "a path, 20 key points and an .* 2 words that end in '0' in line",
        ),
        ("keys.txt", "\n" + " 1" * 41 + " 8\n", "42 words that end in '8' in line 2; copy"),
    ],
)
def test_reader_raises_for_invalid_files(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_view_labels(tmp_path / name)


def test_reader_raises_for_missing_or_huge_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="read_view_labels: path must be a file"):
        read_view_labels(tmp_path / "views.pkl")
    with pytest.raises(FileNotFoundError, match=r"key point files \(keypoint_train\.txt or"):
        read_view_labels(tmp_path)
    with open(tmp_path / "views.pkl", "wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(ValueError, match="must be a pickle of at most 64 MiB"):
        read_view_labels(tmp_path / "views.pkl")


def test_reader_raises_for_row_without_view_column(tmp_path):
    file = tmp_path / "views.csv"
    file.write_text("path,view\na.jpg,0\nb.jpg,\n")
    assert read_view_labels(file) == {"a.jpg": 0}
    file.write_text("path,view\na.jpg,0\nb.jpg\n")
    with pytest.raises(ValueError, match=r"must have 2 fields in every row, .* got 1 in line 3"):
        read_view_labels(file)
