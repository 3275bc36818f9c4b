"""Feature files: .npz of reid_ext, .mat of layumi, names of AGW, and .npy with label files."""

import json
import sys
import zipfile

import numpy as np
import pytest
import torch

from reid_ext import ArgumentError, FeatureSet, cli, evaluate

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
        (
            "one.npz",
            {"features": QUERY, "identities": np.ones(6, int)},
            "the query; pass the gallery as a second file",
        ),
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
        (b"no matlab file at all" * 20, "SciPy cannot read"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(384), "save it in MATLAB as '-v7'"),
    ],
)
def test_load_raises_for_unreadable_mat(content, got, tmp_path):
    pytest.importorskip("scipy.io")
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.mat must be a \.mat file of version 5.*{got}"):
        FeatureSet.load(tmp_path / "a.mat", side="query")


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
    needs = "a.mat needs SciPy, which is not installed; install it with pip install 'reid_ext[mat]'"
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


def same_as_query(path, **hints):
    found = FeatureSet.load(path, **hints)
    np.testing.assert_allclose(np.asarray(found.features, np.float32), QUERY, rtol=1e-6)
    return found.identities.tolist() == LABELS["query_ids"].tolist() and found.cameras is not None


@pytest.mark.parametrize(
    "names",
    [
        ("embeddings", "pid", "camid"),
        ("embs", "targets", "cam_ids"),
        ("Features", "IDs", "Cameras"),
        ("feat", "person_id", "camera"),
    ],
)
def test_load_knows_the_names_of_other_programs(names, tmp_path):
    arrays = dict(zip(names, (QUERY, LABELS["query_ids"], LABELS["query_cameras"]), strict=True))
    np.savez(tmp_path / "a.npz", **arrays)
    assert same_as_query(tmp_path / "a.npz")


def test_load_flattens_features_of_a_pooling_layer(tmp_path):
    labels = {"ids": LABELS["query_ids"][:, None], "cams": LABELS["query_cameras"]}
    np.savez(tmp_path / "a.npz", features=QUERY[:, :, None, None], **labels)
    assert same_as_query(tmp_path / "a.npz")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".PT"])
def test_load_reads_a_dict_of_tensors(suffix, tmp_path):
    labels = {"ids": torch.from_numpy(LABELS["query_ids"]), "cams": [0] * 6}
    torch.save({"features": torch.from_numpy(QUERY), **labels}, tmp_path / f"a{suffix}")
    assert same_as_query(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("header", ["f0 f1 f2 f3", "dim_1 dim_2 dim_3 dim_4", "0 1 2 3"])
def test_load_reads_a_table(separator, encoding, header, tmp_path):
    rows = [["path", "ID", *header.split(), "camera"]]
    for i, (row, identity) in enumerate(zip(QUERY, LABELS["query_ids"], strict=True)):
        rows.append([f"{i}.jpg", str(identity), *map(repr, row.tolist()), "0.0"])
    text = "\n".join(separator.join(row) for row in rows)
    (tmp_path / "a.csv").write_text(text, encoding=encoding)
    assert same_as_query(tmp_path / "a.csv")
    assert FeatureSet.load(tmp_path / "a.csv").columns["paths"][2] == "2.jpg"


def test_load_reads_parquet(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"embedding": QUERY.tolist(), "person": LABELS["query_ids"], "camera": [0] * 6}
    parquet.write_table(arrow.table(columns), tmp_path / "a.parquet")
    assert same_as_query(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "arrays", "message"),
    [
        ("a.npz", {"arr_0": QUERY, "arr_1": np.arange(6)}, "among arr_0, arr_1; name them"),
        ("a.npz", {"features": QUERY.T, "ids": np.arange(6)}, "for 6 labels; transpose them"),
        ("a.npz", {"features": np.ones((6, 4), np.int8), "ids": np.arange(6)}, "int8; convert"),
        ("a.pkl", {}, "a pickle, which can run code"),
        ("a.h5", {}, "an HDF5 file, .* save features and labels with numpy.savez"),
    ],
)
def test_load_says_what_to_do_with_other_files(name, arrays, message, tmp_path):
    if arrays:
        np.savez(tmp_path / name, **arrays)
    else:
        (tmp_path / name).write_bytes(b"content")
    with pytest.raises(ArgumentError, match=message):
        FeatureSet.load(tmp_path / name)


def test_load_does_not_run_code_of_a_torch_file(tmp_path):
    class Bad:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"features": Bad()}, tmp_path / "a.pt")
    with pytest.raises(ArgumentError, match="weights_only"):
        FeatureSet.load(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


def test_load_does_not_unpack_a_compressed_torch_file(tmp_path):
    arrays = {"features": torch.zeros(1000, 1000), "ids": torch.arange(1000)}
    torch.save(arrays, tmp_path / "plain.pt")
    plain = zipfile.ZipFile(tmp_path / "plain.pt")
    packed = zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED)
    with plain, packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    torch.save(arrays, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert len(FeatureSet.load(tmp_path / "plain.pt")) == 1000
    for name in ("a.pt", "old.pt"):
        with pytest.raises(ArgumentError, match=r"save a dict of tensors with torch\.save"):
            FeatureSet.load(tmp_path / name)
    torch.save({"features": torch.eye(3).to_sparse(), "ids": [1, 2, 3]}, tmp_path / "sparse.pt")
    with pytest.raises(ArgumentError, match="features must be a dense tensor"):
        FeatureSet.load(tmp_path / "sparse.pt")


@pytest.mark.parametrize("rows", [131_057, 131_073, 200_000])
def test_load_reads_labels_that_compress_to_almost_nothing(rows, tmp_path):
    features = np.random.default_rng(0).standard_normal((rows, 2), np.float32)
    labels = {"identities": np.arange(rows) // 50, "cameras": np.zeros(rows, int)}
    np.savez_compressed(tmp_path / "a.npz", features=features, **labels)
    found = FeatureSet.load(tmp_path / "a.npz")
    assert len(found) == rows and found.identities[-1] == (rows - 1) // 50


def test_load_asks_about_a_misspelt_column(tmp_path):
    np.savez(tmp_path / "a.npz", features=QUERY, ids=np.arange(6), camerras=np.arange(6))
    with pytest.raises(ArgumentError, match=r"a\.npz: camerras must be called cameras"):
        FeatureSet.load(tmp_path / "a.npz")
