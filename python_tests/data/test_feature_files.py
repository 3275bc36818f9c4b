"""Feature files: .npz of reid_ext, .mat of layumi, names of AGW, and .npy with label files."""

import json
import sys

import numpy as np
import pytest

from reid_ext import FeatureSet, cli, evaluate

RANDOM = np.random.default_rng(0)
QUERY = RANDOM.standard_normal((6, 4), dtype=np.float32)
GALLERY = RANDOM.standard_normal((20, 4), dtype=np.float32)
LABELS = {
    "query_ids": np.arange(6) % 3,
    "gallery_ids": np.arange(20) % 4,
    "query_cameras": np.zeros(6, int),
    "gallery_cameras": np.arange(20) % 3,
}


def metrics(capsys, *files):
    status = cli.main(["evaluate", *map(str, files), "--json"])
    out, err = capsys.readouterr()
    assert status == 0, err
    return json.loads(out)


@pytest.fixture
def want():
    return evaluate(QUERY, GALLERY, **LABELS).to_dict()


def layumi():
    """The content of pytorch_result.mat as its test.py saves it."""
    return {
        "gallery_f": GALLERY,
        "gallery_label": LABELS["gallery_ids"],
        "gallery_cam": LABELS["gallery_cameras"],
        "query_f": QUERY,
        "query_label": LABELS["query_ids"],
        "query_cam": LABELS["query_cameras"],
    }


def test_load_restores_columns_and_source(tmp_path):
    source = {"model": "a.pt", "preprocessing": {"size": [256, 128], "flip": True}}
    columns = {"clothes": [1, 2], "times": [0.5, 1.5], "paths": ["a.png", "b.png"]}
    whole = FeatureSet(QUERY[:2], identities=[1, 2], cameras=[3, 4], source=source, **columns)
    whole.save(tmp_path / "a.npz")
    again = FeatureSet.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(again.features, QUERY[:2])
    assert again.source == source and set(again.columns) == {"identities", "cameras", *columns}
    assert {name: again.columns[name].tolist() for name in columns} == columns


def test_load_reads_mat_of_layumi(tmp_path, want, capsys):
    io = pytest.importorskip("scipy.io")
    io.savemat(tmp_path / "pytorch_result.mat", layumi())
    got = metrics(capsys, tmp_path / "pytorch_result.mat")
    assert got["mAP"] == want["mAP"] and got["cmc"] == want["cmc"]


def test_load_reads_npz_with_names_of_agw(tmp_path, want, capsys):
    arrays = {"query_feat": QUERY, "gall_feat": GALLERY}
    for side, short in (("query", "query"), ("gallery", "gall")):
        arrays[f"{short}_label"] = LABELS[f"{side}_ids"]
        arrays[f"{short}_cam"] = LABELS[f"{side}_cameras"]
    np.savez(tmp_path / "both.npz", **arrays)
    assert metrics(capsys, tmp_path / "both.npz")["average_precision"] == want["average_precision"]


def test_load_reads_npy_with_label_files(tmp_path, want, capsys):
    for side, features in (("query", QUERY), ("gallery", GALLERY)):
        np.save(tmp_path / f"{side}.npy", features)
        np.save(tmp_path / f"{side}_ids.npy", LABELS[f"{side}_ids"])
        np.save(tmp_path / f"{side}_cams.npy", LABELS[f"{side}_cameras"])
    got = metrics(capsys, tmp_path / "query.npy", tmp_path / "gallery.npy")
    assert got["mAP"] == want["mAP"]


def test_load_converts_matlab_doubles_to_labels(tmp_path):
    io = pytest.importorskip("scipy.io")
    x = np.ones((3, 1))
    io.savemat(tmp_path / "a.mat", {"features": x, "ids": np.array([[1.0], [2.0], [3.0]])})
    found = FeatureSet.load(tmp_path / "a.mat", side="query")
    assert found.features.shape == (3, 1) and found.identities.tolist() == [1, 2, 3]
    assert found.cameras is None


def test_load_prefers_own_names_and_names_of_the_side(tmp_path):
    ones = np.ones(6, int)
    np.savez(tmp_path / "a.npz", features=QUERY, ids=ones, identities=2 * ones)
    assert FeatureSet.load(tmp_path / "a.npz", side="query").identities.tolist() == [2] * 6
    np.savez(tmp_path / "b.npz", query_f=QUERY, query_label=ones, f=GALLERY, label=ones)
    assert FeatureSet.load(tmp_path / "b.npz", side="query").features.shape == (6, 4)


@pytest.mark.parametrize(
    "name, arrays, message",
    [
        ("one.npz", {"features": QUERY, "identities": np.ones(6, int)}, "pass two files"),
        ("one.npz", {"query_f": QUERY, "gallery_f": GALLERY}, "no identities of the query"),
    ],
)
def test_evaluate_raises_for_single_file_without_both_sides(
    name, arrays, message, tmp_path, capsys
):
    np.savez(tmp_path / name, **arrays)
    assert cli.main(["evaluate", str(tmp_path / name)]) == 1
    assert message in capsys.readouterr().err


def test_evaluate_raises_for_npy_without_label_file(tmp_path, capsys):
    np.save(tmp_path / "q.npy", QUERY)
    assert cli.main(["evaluate", str(tmp_path / "q.npy"), str(tmp_path / "q.npy")]) == 1
    assert "features without q_ids.npy in the same folder" in capsys.readouterr().err


def test_load_runs_no_pickled_code(tmp_path, capsys):
    class Bad:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    np.save(tmp_path / "q.npy", np.array([Bad()], object), allow_pickle=True)
    np.save(tmp_path / "q_ids.npy", np.ones(1, int))
    assert cli.main(["evaluate", str(tmp_path / "q.npy"), str(tmp_path / "q.npy")]) == 1
    assert "must be a feature file" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content, got",
    [
        (b"no matlab file at all" * 20, "another or an incomplete file (ValueError)"),
        (
            b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(384),
            "a MATLAB file of version 7.3; save it with -v7 or scipy.io.savemat",
        ),
    ],
)
def test_load_raises_for_unreadable_mat(content, got, tmp_path):
    pytest.importorskip("scipy.io")
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.mat must be a feature file") as error:
        FeatureSet.load(tmp_path / "a.mat", side="query")
    assert str(error.value).endswith(f"got {got}")


def test_load_raises_for_mat_of_cells(tmp_path):
    io = pytest.importorskip("scipy.io")
    cells = np.empty((1, 2), object)
    cells[:] = [[np.ones(2), np.ones(3)]]
    io.savemat(tmp_path / "a.mat", {**layumi(), "query_label": cells})
    with pytest.raises(ValueError, match="got query_label as cells; save a matrix of numbers"):
        FeatureSet.load(tmp_path / "a.mat", side="query")


def test_load_raises_for_mat_without_scipy(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    (tmp_path / "a.mat").touch()
    assert cli.main(["evaluate", str(tmp_path / "a.mat")]) == 1
    needs = 'a.mat needs SciPy, which is not installed; install it with pip install "scipy"'
    assert needs in capsys.readouterr().err


def test_evaluate_reports_out_of_memory_for_mat(tmp_path, capsys, monkeypatch):
    io = pytest.importorskip("scipy.io")

    def too_large(path):
        raise MemoryError

    io.savemat(tmp_path / "a.mat", layumi())
    monkeypatch.setattr(io, "loadmat", too_large)
    assert cli.main(["evaluate", str(tmp_path / "a.mat")]) == 1
    assert capsys.readouterr().err.startswith("reid-ext evaluate: out of memory; ")


def test_load_decodes_byte_paths_and_checks_their_number(tmp_path):
    given = {"features": QUERY, "identities": np.ones(6, int)}
    np.savez(tmp_path / "a.npz", **given, paths=np.array([b"a.png"] * 6))
    assert (
        FeatureSet.load(tmp_path / "a.npz", side="query").columns["paths"].tolist() == ["a.png"] * 6
    )
    np.savez(tmp_path / "b.npz", **given, paths=np.array(["a.png"] * 5))
    with pytest.raises(
        ValueError,
        match=r"b\.npz: paths must have shape \(6,\), one for each row of features, got \(5,\)",
    ):
        FeatureSet.load(tmp_path / "b.npz", side="query")
