"""reid-ext rerank, and evaluate --rerank: every flag has an effect or is refused by name."""

import json

import numpy as np
import pytest
from cli_cases import direct, problem, typed, write

from reid_ext import rerank
from reid_ext.cli.reranking import OPTIONS, USES


@pytest.fixture
def files(tmp_path):
    return write(tmp_path, problem())


@pytest.fixture
def run(capsys):
    return lambda *arguments: typed(capsys, *arguments)


def test_evaluate_takes_the_flags_of_rerank(run, files):
    flags = ("--rerank", "--k1", 9, "--k2", 3, "--lambda-value", 0.5)
    status, out, _ = run("evaluate", *files, "--json", *flags)
    want = direct(rerank={"k1": 9, "k2": 3, "lambda_value": 0.5})
    got = json.loads(out)
    assert status == 0 and got["mAP"] == want.mAP != direct(rerank=True).mAP
    assert got["protocol"] == want.protocol and "k1 9" in want.protocol


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


OTHERS = {"k1": 9, "k2": 3, "lambda_value": 0.7, "alpha": 1.5, "metric": "euclidean"}


@pytest.mark.parametrize("method", USES)
@pytest.mark.parametrize("name", OTHERS)
def test_a_flag_has_an_effect_or_is_refused(name, method, run, files, tmp_path):
    features = [arrays["features"] for arrays in problem().values()]
    given = {"method": method, "k2": 5, "metric": "cosine"}
    before, after = (rerank(*features, **g) for g in (given, given | {name: OTHERS[name]}))
    flags = ("--method", method, f"--{name.replace('_', '-')}", OTHERS[name])
    status, _, err = run("rerank", *files, "--out", tmp_path / "all.npz", *flags)
    if name in USES[method]:
        assert not np.array_equal(before, after) and status == 0
    else:
        assert np.array_equal(before, after) and status == 2
        assert f"{flags[2]} must not come with --method {method}, which takes --k" in err


def test_every_option_is_known_of_some_method():
    assert {"method", *(name for names in USES.values() for name in names)} == {*OPTIONS, "metric"}


@pytest.mark.parametrize("side", [0, 1])
def test_rerank_does_not_overwrite_what_it_reads(side, run, files):
    before = files[side].read_bytes()
    status, _, err = run("rerank", *files, "--out", files[side])
    assert status == 2 and f"--out must not be a file that is read, got {files[side]}" in err
    assert files[side].read_bytes() == before


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
    monkeypatch.setattr("reid_ext.cli.reranking.read_sides", None)  # no work: not even reading
    status, _, err = run("rerank", *files, "--out", "all.npz", *flags)
    assert status == 2 and message in err and err.count("\n") == 1


def test_place_that_cannot_be_written_is_named_by_its_flag(run, files):
    status, _, err = run("rerank", *files, "--out", "/proc/all.npz", "--k1", "5", "--k2", "2")
    assert status == 1 and err.count("\n") == 1
    assert "--out must be a place that can be written, got /proc/all.npz: " in err
