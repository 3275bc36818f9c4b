"""Errors of readers name the folder nearby, or the other dataset, that can be read."""

import shutil

import pytest

from reid_ext import ArgumentError, data


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    for name in ("msmt17", "market1501", "regdb"):
        data.synthesize(name, folder / name, preset="tiny")
    return folder


@pytest.mark.parametrize("depth", [1, 2])
def test_load_names_the_nested_folder(depth, whole, tmp_path):
    inner = tmp_path.joinpath(*["MSMT17_V2"] * (depth + 1))
    shutil.copytree(whole / "msmt17", inner)
    (inner / "train").rename(inner / "mask_train_v2")
    (inner / "test").rename(inner / "mask_test_v2")
    with pytest.raises(FileNotFoundError, match="without train, test; did you mean") as caught:
        data.load("msmt17", tmp_path / "MSMT17_V2")
    assert str(caught.value).endswith(f"did you mean {inner}?")
    report = data.check("msmt17", tmp_path / "MSMT17_V2", images=False)
    assert report.findings[0].message == str(caught.value)


def test_load_names_the_folder_above(whole):
    root = whole / "market1501"
    with pytest.raises(FileNotFoundError, match=f"did you mean {root}[?]$"):
        data.load("market1501", root / "bounding_box_train")


@pytest.mark.parametrize(
    ("name", "other"),
    [("dukemtmc-reid", "market1501"), ("folders", "msmt17"), ("sysu-mm01", "regdb")],
)
def test_load_names_the_other_dataset(name, other, whole):
    root = whole / other
    with pytest.raises((FileNotFoundError, ArgumentError)) as caught:
        data.load(name, root)
    assert str(caught.value).endswith(f"; this looks like {other}: did you mean {other} {root}?")


def test_load_names_the_list_in_a_folder(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("path,split,identity\na.jpg,query,1\nb.jpg,gallery,1\n")
    with pytest.raises(FileNotFoundError, match=f"did you mean {path}[?]"):
        data.load("manifest", tmp_path)
    with pytest.raises(FileNotFoundError, match=f"did you mean manifest {path}[?]"):
        data.load("folders", path)


def test_load_suggests_nothing_for_an_unknown_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"unpack the archive again$"):
        data.load("market1501", tmp_path)


def test_load_names_the_folder_to_rename(whole, tmp_path):
    root = shutil.copytree(whole / "market1501", tmp_path / "root")
    (root / "query").rename(root / "Query")
    with pytest.raises(FileNotFoundError, match=r"without query; rename Query to query$"):
        data.load("market1501", root)


def test_lists_may_have_backslashes(whole, tmp_path):
    root = shutil.copytree(whole / "msmt17", tmp_path / "root")
    before = data.load("msmt17", root)
    path = root / "list_train.txt"
    path.write_text(path.read_text().replace("/", "\\"))
    assert data.load("msmt17", root) == before
