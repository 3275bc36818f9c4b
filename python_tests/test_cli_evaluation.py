"""reid-ext doctor, evaluate and rerank: right figures, whole files, errors in one line."""

import json

import numpy as np
import pytest

from reid_ext import cli, evaluate, rerank

ONES = np.ones((3, 6), np.float32)


def problem():
    random = np.random.default_rng(0)
    ids = {"query": random.integers(0, 8, 20), "gallery": random.integers(0, 10, 70)}
    centre = random.standard_normal((10, 6))
    return {
        side: {
            "features": (centre[of] + random.standard_normal((len(of), 6))).astype(np.float32),
            "identities": of,
            "cameras": random.integers(0, 3, len(of)),
        }
        for side, of in ids.items()
    }


@pytest.fixture
def files(tmp_path):
    for side, arrays in problem().items():
        np.savez(tmp_path / f"{side}.npz", **arrays)
    return [tmp_path / "query.npz", tmp_path / "gallery.npz"]


@pytest.fixture
def run(capsys):
    def run(*arguments):
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse's own
            status = stop.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out, err

    return run


def direct(**options):
    query, gallery = problem().values()
    return evaluate(
        query["features"],
        gallery["features"],
        query_ids=query["identities"],
        gallery_ids=gallery["identities"],
        query_cameras=query["cameras"],
        gallery_cameras=gallery["cameras"],
        **options,
    )


def test_evaluate_prints_a_table_and_json(run, files):
    status, out, _ = run("evaluate", *files, "--confidence")
    want = direct()
    assert status == 0 and str(want) in out and "95 % of the queries' draws: mAP" in out
    status, out, _ = run("evaluate", *files, "--json", "--metric", "euclidean", "--rerank")
    got = json.loads(out)
    assert status == 0 and got["mAP"] == direct(metric="euclidean", rerank=True).mAP
    assert "re-ranked" in got["protocol"] and len(got["cmc"]) == 50


def test_rerank_writes_distances(run, files, tmp_path):
    features = [arrays["features"] for arrays in problem().values()]
    status, out, _ = run("rerank", *files, "--out", tmp_path / "all.npz", "--k1", 9)
    assert status == 0 and "20 x 70" in out
    want = rerank(*features, k1=9, metric="cosine").numpy()
    np.testing.assert_array_equal(np.load(tmp_path / "all.npz")["distances"], want)
    status, out, _ = run("rerank", *files, "--out", tmp_path / "top.npz", "--top", 5, "--json")
    assert json.loads(out)["shape"] == [20, 5]
    assert sorted(np.load(tmp_path / "top.npz").files) == ["distances", "indices"]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_doctor_tests_every_op(run):
    status, out, _ = run("doctor", "--json")
    found = json.loads(out)
    assert status == 0 and found["ok"]
    assert set(found["tests"]["cpu"].values()) == {"ok"} and len(found["tests"]["cpu"]) >= 7
    status, out, _ = run("doctor")
    assert status == 0 and "rank_positives: ok" in out and "cpu_product: " in out


def test_doctor_says_which_op_is_wrong(run, monkeypatch):
    monkeypatch.setattr("reid_ext.ops.cosine_matrix", lambda x: x @ x.T)
    status, out, _ = run("doctor")
    assert status == 1 and "cosine_matrix: differs from plain PyTorch" in out
    assert "an op does not work" in out


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
        (["--device", "toaster"], 2, "--device must be one of this machine"),
        (["--protocol", "imagenet"], 2, "invalid choice"),
        (["--max-rank", "0"], 2, "--max-rank must be at least 1, got 0"),
        (["--report", "."], 2, "--report must end in .html"),
    ],
)
def test_wrong_use_is_told_apart(flags, status, message, run, files):
    got, _, err = run("evaluate", *files, *flags)
    assert got == status and message in err


def test_rerank_refuses_another_ending(run, files, tmp_path):
    status, _, err = run("rerank", *files, "--out", tmp_path / "all.csv")
    assert status == 2 and "--out must end in .npz" in err


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--k1", "0"], "--k1 must be at least 1, got 0"),
        (["--top", "0"], "--top must be at least 1, got 0"),
        (["--lambda-value", "nan"], "--lambda-value must be from 0 to 1, got nan"),
        (["--out", "away/all.npz"], "--out must be in a folder that exists, got away/all.npz"),
        (["--out", "folder.npz"], "--out must be a file, got the folder folder.npz"),
    ],
)
def test_rerank_refuses_wrong_use_before_work(flags, message, run, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.npz").mkdir()
    monkeypatch.setattr("reid_ext.cli.evaluation.read_pair", None)  # no work: not even reading
    status, _, err = run("rerank", *files, "--out", "all.npz", *flags)
    assert status == 2 and message in err and err.count("\n") == 1


def test_place_that_cannot_be_written_is_named_by_its_flag(run, files):
    status, _, err = run("rerank", *files, "--out", "/proc/all.npz", "--k1", "5", "--k2", "2")
    assert status == 1 and err.count("\n") == 1
    assert "--out must be a place that can be written, got /proc/all.npz: " in err


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
