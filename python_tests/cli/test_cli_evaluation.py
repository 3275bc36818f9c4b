"""reid-ext evaluate: right figures, whole files, errors in one line."""

import json

import numpy as np
import pytest
from cli_cases import direct, problem, typed, write

ONES = np.ones((3, 6), np.float32)


@pytest.fixture
def files(tmp_path):
    return write(tmp_path, problem())


@pytest.fixture
def run(capsys):
    return lambda *arguments: typed(capsys, *arguments)


def test_evaluate_prints_a_table_and_json(run, files):
    status, out, _ = run("evaluate", *files, "--confidence")
    want = direct()
    assert status == 0 and str(want) in out and "95 % of the queries' draws: mAP" in out
    status, out, _ = run("evaluate", *files, "--json", "--metric", "euclidean", "--rerank")
    got = json.loads(out)
    assert status == 0 and got["mAP"] == direct(metric="euclidean", rerank=True).mAP
    assert "re-ranked" in got["protocol"] and len(got["cmc"]) == 50


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "must be a feature file (.npz), but there is none"),
        (b"no zip at all", "must be a feature file (.npz with features"),
        ({"features": np.ones((3, 2))}, "got no identities"),
        ({"features": np.ones(3), "identities": np.ones(3, int)}, "shape (N, D)"),
        ({"features": np.ones((3, 2), int), "identities": np.ones(3, int)}, "be float32"),
        ({"features": np.array([object()]), "identities": np.ones(1)}, "must be a feature file"),
        ({"features": ONES, "identities": np.ones(2, int)}, "identities must have shape"),
    ],
)
def test_wrong_files_are_named(content, message, run, files):
    if content is None:
        files[0].unlink()
    elif isinstance(content, bytes):
        files[0].write_bytes(content)
    else:
        np.savez(files[0], **content)
    status, out, err = run("evaluate", *files, "--json")
    assert status == 1 and message in err and err.count("\n") == 1
    assert json.loads(out)["ok"] is False


@pytest.mark.parametrize(
    "flags, status, message",
    [
        (["--device", "cuda:99"], 2, "--device must be one of this machine, got 'cuda:99'"),
        (["--device", "banana"], 2, "this machine, got 'banana'; there is cpu"),
        (["--device", "meta"], 2, "this machine, got 'meta'; there is cpu"),
        (["--device", "cuda:-1"], 2, "this machine, got 'cuda:-1'; there is cpu"),
        (["--k1", "4"], 2, "--k1 must come with --rerank, got it alone"),
        (["--rerank", "--k2", "0"], 2, "--k2 must be at least 1, got 0"),
        (["--protocol", "imagenet"], 2, "invalid choice"),
        (["--max-rank", "0"], 2, "--max-rank must be at least 1, got 0"),
        (["--confidence", "--protocol", "cuhk03-classic"], 2, "--confidence must come with"),
        (["--report", "."], 2, "--report must end in .html"),
        (["--name", "mine"], 2, "--name must come with --report, got it alone"),
    ],
)
def test_wrong_use_is_told_apart(flags, status, message, run, files):
    got, _, err = run("evaluate", *files, *flags)
    assert got == status and message in err


def test_report_place_that_cannot_be_written_is_named_by_its_flag(run, files):
    status, _, err = run("evaluate", *files, "--report", "/proc/out.html")
    assert status == 1 and "--report must be a place that can be written, got /proc/out.html" in err


@pytest.mark.parametrize(
    "change, message",
    [
        ({"identities": np.ones(3)}, "identities must be integers, got float64; number them"),
        ({"identities": np.array(["a", "b", "c"])}, "identities must be integers, got <U1"),
        ({"cameras": np.ones(3)}, "cameras must be integers, got float64"),
        ({"cameras": np.arange(2)}, "cameras must have shape (3,) like features, got (2,)"),
    ],
)
def test_wrong_labels_are_named_with_their_file(change, message, run, files):
    labels = {"identities": np.arange(3), "cameras": np.arange(3)}
    np.savez(files[0], features=ONES, **(labels | change))
    status, _, err = run("evaluate", *files)
    assert status == 1 and f"{files[0]}: {message}" in err


def test_files_without_rows_and_without_cameras_are_named(run, files):
    np.savez(files[1], features=ONES, identities=np.arange(3))
    status, _, err = run("evaluate", *files)
    assert (
        status == 1 and f"{files[1]} must have cameras for --protocol market1501, got none" in err
    )
    assert "--protocol generic" in err
    np.savez(files[1], features=ONES[:0], identities=[])
    status, _, err = run("evaluate", *files)
    assert status == 1 and f"{files[1]}: features must have rows and columns, got (0, " in err


def test_one_file_as_query_and_gallery_is_warned_of(run, files):
    status, _, err = run("evaluate", files[0], files[0], "--protocol", "generic")
    assert status == 0 and "warning: query and gallery must be of different images" in err
    assert run("evaluate", *files)[2] == ""


@pytest.mark.parametrize("content", [b"hello", b"", b"PK\x03\x04"])
def test_file_of_text_is_not_called_a_pickle_to_trust(content, run, files):
    files[0].write_bytes(content)
    status, _, err = run("evaluate", *files)
    assert status == 1 and "got a file that is no .npz, or not whole" in err
    assert "pickle" not in err


def test_folder_is_not_said_to_be_missing(run, files):
    status, _, err = run("evaluate", files[0].parent, files[1])
    assert status == 1 and "got a folder; name a file in it" in err


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf"])
def test_bench_refuses_a_time_that_is_none(seconds, run):
    status, _, err = run("bench", "--seconds", seconds)
    assert status == 2 and f"--seconds must be at least 0 and finite, got {float(seconds)}" in err


@pytest.mark.parametrize("content", [b"", b"x", b"hello" * 200, bytes(range(256)) * 4])
def test_file_that_is_no_mat_is_refused_in_one_line(content, run, tmp_path):
    pytest.importorskip("scipy")
    (tmp_path / "text.mat").write_bytes(content)
    status, _, err = run("evaluate", tmp_path / "text.mat")
    assert status == 1 and err.count("\n") == 1 and "text.mat must be a feature file" in err


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_said(value, run, tmp_path):
    sides = problem()
    sides["gallery"]["features"][[3, 8], 2] = value
    sides["query"]["features"][5] = value
    files = write(tmp_path, sides)
    status, out, err = run("evaluate", *files, "--json")
    query, gallery = err.splitlines()
    assert status == 0
    assert query.startswith(f"reid-ext: warning: {files[0]}: NaN or infinity in 1 of 20 rows of")
    assert f"{files[1]}: NaN or infinity in 2 of 70 rows of the gallery, first in row 3" in gallery
    found = json.loads(out)["not_finite"]
    assert found[1] == {"file": str(files[1]), "side": "gallery", "rows": 2, "of": 70, "first": 3}
    for command in (
        ("evaluate", *files, "--rerank"),
        ("rerank", *files, "--out", tmp_path / "out.npz"),
    ):
        status, _, err = run(*command)
        assert status == 1 and "must be finite to be re-ranked, got " in err
        assert "1 of 20 rows of the query, first in row 5; " in err and err.count("\n") == 1


def test_a_matrix_that_is_finite_has_no_warning(run, files):
    status, out, err = run("evaluate", *files, "--json")
    assert status == 0 and err == "" and json.loads(out)["not_finite"] == []
