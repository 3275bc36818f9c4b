"""`reid-ext rerank` and `evaluate --rerank`: every flag has an effect or is an error."""

import json

import numpy as np
import pytest
from cli_cases import direct, problem, typed, write

from reid_ext import rerank
from reid_ext.cli.reranking import OPTIONS
from reid_ext.evaluation import METHODS


@pytest.fixture
def files(tmp_path):
    return write(tmp_path, problem())


@pytest.fixture
def run(capsys):
    return lambda *arguments: typed(capsys, *arguments)


def test_evaluate_accepts_the_flags_of_rerank(run, files):
    flags = ("--rerank", "--k1", 9, "--k2", 3, "--lambda-value", 0.5)
    status, out, _ = run("evaluate", *files, "--json", *flags)
    want = direct(rerank={"k1": 9, "k2": 3, "lambda_value": 0.5})
    got = json.loads(out)
    assert status == 0 and got["mAP"] == want.mAP != direct(rerank=True).mAP
    assert got["protocol"] == want.protocol.to_dict() and got["protocol"]["rerank"]["k1"] == 9
    assert "k1 9" in got["protocol"]["text"]


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


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", OTHERS)
def test_every_flag_has_an_effect_or_is_an_error(name, method, run, files, tmp_path):
    features = [arrays["features"] for arrays in problem().values()]
    given = {"method": method, "k2": 5}
    flags = ("--method", method, f"--{name.replace('_', '-')}", OTHERS[name])
    status, _, err = run("rerank", *files, "--out", tmp_path / "all.npz", *flags)
    if name in METHODS[method]:
        before, after = (rerank(*features, **g) for g in (given, given | {name: OTHERS[name]}))
        assert not np.array_equal(before, after) and status == 0
    else:
        assert status == 2 and err.startswith("reid-ext rerank: ")
        assert f"{flags[2]} must be left out with method '{method}', got" in err


def test_every_argument_of_a_method_is_a_flag():
    assert {"method", *(n for given in METHODS.values() for n in given)} == {*OPTIONS, "metric"}


def test_evaluate_returns_2_for_a_metric_without_effect(run, files):
    flags = ("--rerank", "--method", "gnn", "--metric", "euclidean")
    status, _, err = run("evaluate", *files, *flags)
    assert status == 2 and "--metric must be left out with --method gnn" in err


@pytest.mark.parametrize("side", [0, 1])
def test_rerank_does_not_overwrite_its_input(side, run, files):
    before = files[side].read_bytes()
    status, _, err = run("rerank", *files, "--out", files[side])
    assert status == 2 and f"--out must not be an input file, got {files[side]}" in err
    assert files[side].read_bytes() == before


def test_rerank_returns_2_for_another_ending(run, files, tmp_path):
    status, _, err = run("rerank", *files, "--out", tmp_path / "all.csv")
    assert status == 2 and "--out must end in .npz" in err


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--k1", "0"], "reid-ext rerank: --k1 must be an integer >= 1 and at most 89"),
        (
            ["--k1", "90"],
            "and at most 89 (the number of other images), got 90",
        ),
        (["--top", "0"], "reid-ext rerank: --top must be an integer >= 1, got 0"),
        (["--top", "71"], "--top must be an integer >= 1 and at most 70 (the number of gallery"),
        (
            ["--lambda-value", "nan"],
            "--lambda-value must be a finite number >= 0 and",
        ),
    ],
)
def test_rerank_names_the_flag_of_an_invalid_value(flags, message, run, files, tmp_path):
    status, _, err = run("rerank", *files, "--out", tmp_path / "all.npz", *flags)
    assert status == 2 and message in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--out", "away/all.npz"], "--out must be in a folder that exists, got away/all.npz"),
        (["--out", "folder.npz"], "--out must be a file, got the folder folder.npz"),
    ],
)
def test_rerank_checks_out_before_any_work(flags, message, run, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.npz").mkdir()
    monkeypatch.setattr(
        "reid_ext.cli.reranking.read_sides", None
    )  # fails if the command reads a file
    status, _, err = run("rerank", *files, "--out", "all.npz", *flags)
    assert status == 2 and message in err and err.count("\n") == 1


def test_rerank_names_the_flag_of_an_unwritable_place(run, files):
    status, _, err = run("rerank", *files, "--out", "/proc/all.npz", "--k1", "5", "--k2", "2")
    assert status == 1 and err.count("\n") == 1
    assert "--out must be a path that can be written, got /proc/all.npz: " in err
