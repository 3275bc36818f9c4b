"""The output and exit status of `reid-ext data` and `reid-ext doctor`, without tracebacks."""

import json
import re
import subprocess
import sys

import pytest
import torch
from cli_cases import typed

import reid_ext
from reid_ext import cli, data
from reid_ext.training import RunOptions
from reid_ext.training.job import jobs
from reid_ext.training.resources import with_defaults

SIZES = ["--identities", "3", "0", "3", "--images", "3", "1"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One small synthetic dataset for each kind of protocol."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("sysu-mm01", "regdb", "market1501"):
        data.synthesize(name, folder / name, identities=(3, 0, 3), images=(3, 1), workers=1)
    return folder


@pytest.fixture
def run(capsys):
    return lambda *arguments: typed(capsys, *arguments)


def test_synthesize_has_the_default_seed_of_the_scripts(run, tmp_path, monkeypatch):
    monkeypatch.setenv("REID_EXT_CACHE", str(tmp_path / "cache"))
    status, text, _ = run(
        "data", "synthesize", "regdb", tmp_path / "own", "--preset", "tiny", "--json"
    )
    (job,) = jobs(with_defaults(RunOptions(dataset="regdb", quick=True)))
    manifest = job.root / "synthetic.json"
    assert status == 0 and json.loads(manifest.read_text())["seed"] == json.loads(text)["seed"]
    assert manifest.read_bytes() == (tmp_path / "own" / "synthetic.json").read_bytes()


def test_synthesize_makes_a_dataset_that_check_accepts(run, tmp_path):
    status, out, _ = run("data", "synthesize", "dukemtmc-reid", tmp_path / "new", *SIZES)
    assert status == 0 and str(tmp_path / "new") in out
    status, out, _ = run("data", "check", "dukemtmc-reid", tmp_path / "new")
    assert status == 0
    assert "train: 72 images of 3 identities, cameras 1, 2, 3, 4, 5, 6, 7, 8, 72 with view" in out
    assert out.splitlines()[-1] == "dukemtmc-reid: no errors"


@pytest.mark.parametrize(
    "name, lines",
    [
        ("sysu-mm01", ["sysu-mm01, all, 1-shot: 6 queries x 12 gallery images in each trial"]),
        ("regdb", ["visible to thermal: 9 queries x 3 gallery", "3 queries x 9 gallery images"]),
        ("market1501", ["; 18 queries have a match", "junk: same identity and camera"]),
    ],
)
def test_check_prints_the_evaluation_plan(name, lines, run, whole):
    status, out, _ = run("data", "check", name, whole / name)
    plan = [line for line in out.splitlines() if line.startswith("evaluation: ")]
    assert status == 0 and all(any(text in line for line in plan) for text in lines)


def test_check_prints_json(run, whole):
    status, out, _ = run("data", "check", "regdb", whole / "regdb", "--json", "--split", "trial=3")
    facts = json.loads(out)
    assert status == 0 and facts["ok"] and facts["name"] == "regdb"
    assert facts["splits"]["query"] == {
        "images": 9, "identities": 3, "cameras": [1], "with_view": 9
    }  # fmt: skip
    assert [f["kind"] for f in facts["findings"]] == ["count"]


def test_check_returns_1_and_the_reason_for_invalid_data(run, tmp_path):
    run("data", "synthesize", "msmt17", tmp_path, "--identities", 12, 0, 6, "--images", 2, 1)
    image = data.load("msmt17", tmp_path).query[0].path
    image.write_bytes(b"")
    status, out, _ = run("data", "check", "msmt17", tmp_path, "--fast")
    assert status == 1 and f"1 image is empty (0 bytes): {image.relative_to(tmp_path)}" in out
    status, out, _ = run("data", "check", "msmt17", tmp_path, "--fast", "--json")
    finding = json.loads(out)["findings"][-1]
    assert status == 1 and finding["level"] == "error" and finding["paths"] == [str(image)]


def test_check_returns_1_without_a_dataset(run, tmp_path):
    status, out, _ = run("data", "check", "veri776", tmp_path)
    assert status == 1 and "error: veri776: root must hold the folders image_train" in out
    (tmp_path / "mine.txt").touch()
    status, out, err = run("data", "synthesize", "veri776", tmp_path, "--json")
    assert status == 1 and "root must be a new or empty folder" in err
    assert json.loads(out)["error"] in err and not json.loads(out)["ok"]


def test_check_explains_why_evaluation_is_impossible(run, tmp_path, whole):
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0001_c1s1_000001_00.jpg").touch()
    status, out, _ = run("data", "check", "market1501", tmp_path, "--fast")
    assert status == 1 and "evaluation: not possible: evaluate: gallery.cameras must" in out


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "COMMAND must be given"),
        (["data", "check", "imagenet", "."], "NAME must be one of sysu-mm01"),
        (["data", "chek"], "did you mean 'check'?"),
        (["train", "sys"], "did you mean 'sysu'?"),
        (["train", "sysu", "--los", "fidi"], "unknown flag --los; did you mean --loss?"),
        (["train", "sysu", "--loss", "expt"], "did you mean 'expat'?"),
        (["train", "sysu", "--seed", "-1"], "--seed must be an integer >= 0, got -1"),
        (
            ["data", "check", "regdb", ".", "--split", "fold=1"],
            "must be among evaluate_on",
        ),
        (["data", "check", "regdb", ".", "--split", "trial"], "--split must be KEY=VALUE"),
        (
            ["data", "synthesize", "regdb", "x", "--preset", "huge"],
            "must be one of 'default'",
        ),
        (["data", "synthesize", "regdb", "x", "--seed", "-1"], "seed must be an integer >= 0"),
        (["data", "synthesize", "regdb", "x", "--workers", "0"], "workers must be an integer >= 1"),
        (["data", "synthesize", "veri776", "x", "--identities", "3", "1", "2"], "0 validation"),
    ],
)
def test_invalid_command_line_returns_2(arguments, message, run):
    status, out, err = run(*arguments)
    assert status == 2 and message in err and err.count("\n") == 1 and out == ""


def test_version_is_the_version_of_the_package(run):
    status, out, _ = run("--version")
    assert status == 0 and out == f"reid-ext {reid_ext.__version__}\n"


def test_doctor_tests_every_op(run):
    status, out, _ = run("doctor", "--json")
    found = json.loads(out)
    assert status == 0 and found["ok"]
    assert set(found["tests"]["cpu"].values()) == {"ok"} and len(found["tests"]["cpu"]) >= 7
    status, out, _ = run("doctor")
    assert status == 0 and "rank_positives: ok" in out and "cpu_capability: " in out


def test_doctor_names_an_op_with_wrong_results(run, monkeypatch):
    monkeypatch.setattr("reid_ext.ops.cosine_matrix", lambda x: x @ x.T)
    status, out, _ = run("doctor")
    assert status == 1 and "cosine_matrix: differs from plain PyTorch" in out
    assert "an op does not work" in out


def test_doctor_prints_the_first_line_of_an_error(run, monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("nearest: no kernel\nraised at nearest.cpp:3")

    monkeypatch.setattr("reid_ext.ops.nearest", fails)
    status, out, _ = run("doctor")
    assert status == 1 and "  nearest: fails: nearest: no kernel\n" in out
    assert "an op does not work" in out and "nearest.cpp" not in out


def test_doctor_warns_if_torch_was_replaced_after_the_build(run, monkeypatch):
    build = {**reid_ext.build_info(), "torch": "2.11.0+cu130"}
    monkeypatch.setattr("reid_ext.cli.doctor.build_info", lambda: build)
    status, _, err = run("doctor")
    assert status == 0 and "built with torch 2.11.0+cu130, but torch" in err and "rebuild" in err


@pytest.mark.parametrize(
    "reason, hint",
    [
        ("not built: torch 2.13.0+cpu is a CPU build", "reinstall reid_ext beside a CUDA build of"),
        ("not built: no nvcc on PATH or in CUDA_HOME/bin", "install the CUDA toolkit (nvcc) and"),
    ],
)
def test_doctor_explains_missing_gpu_kernels(reason, hint, run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H200")
    build = {**reid_ext.build_info(), "cuda_ops": reason}
    monkeypatch.setattr("reid_ext.cli.doctor.build_info", lambda: build)
    status, out, _ = run("doctor")
    assert status == 0 and f"cuda:0: H200\n  no kernels: {reason}; {hint}" in out


def test_train_trains_like_the_script(run, tmp_path, monkeypatch):
    monkeypatch.setenv("REID_EXT_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    command = ["train", "market1501", "--quick", "--workers", 0, "--device", "cpu", "--out", out]
    command += ["--set", "iterations=3"]
    status, text, _ = run(*command, "--json")
    facts = json.loads(text)
    assert status == 0 and facts == json.loads((out / "metrics.json").read_text())
    assert facts["dataset"] == "market1501 (embedded)" and facts["training"]["iterations"] == 3
    status, _, err = run(*command)
    assert status == 1 and err.startswith(
        "reid-ext train market1501: --out must be a folder without"
    )
    status, _, err = run(*command, "warmup=9", "--overwrite")
    assert status == 1 and "--set: warmup must end within the 3 iterations of the run" in err
    assert (out / "metrics.json").exists()  # the options were invalid
    status, _, err = run("train", "llcm", "--set", "flop=2")
    assert status == 1 and "--set must name settings of the recipe, got 'flop'" in err


def test_ctrl_c_returns_130(run, monkeypatch, tmp_path):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.data, "check", interrupted)
    status, _, err = run("data", "check", "regdb", tmp_path)
    assert status == 130 and err.splitlines()[-1] == "interrupted"


def test_traceback_is_shown_on_request(run, monkeypatch, tmp_path):
    monkeypatch.setenv("REID_EXT_TRACEBACK", "1")
    with pytest.raises(ValueError, match="seed must be"):
        run("data", "synthesize", "regdb", tmp_path / "new", "--seed", -1)


@pytest.mark.slow
def test_cli_runs_as_a_module(tmp_path):
    command = [sys.executable, "-m", "reid_ext.cli", "data", "check", "regdb", str(tmp_path)]
    # in the source folder, Python would import the sources, even if they are not built
    done = subprocess.run(command, text=True, capture_output=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 1 and "regdb: 1 error\n" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["evalute"], "reid-ext: COMMAND must be one of doctor, .*; did you mean 'evaluate'?"),
        (["data", "chek"], "reid-ext data: COMMAND must be one of .*; did you mean 'check'?"),
        (["doctor", "--jsn"], "reid-ext doctor: unknown flag --jsn; did you mean --json?"),
        (["--jsn", "doctor"], "reid-ext doctor: unknown flag --jsn; did you mean --json?"),
        (["doctor", "x"], "reid-ext doctor: unexpected argument 'x'; see reid-ext doctor --help"),
        (["bench", "--threads", "x"], "reid-ext bench: --threads must be an integer, got 'x'; .*"),
        (["bench", "--threads"], "reid-ext bench: --threads must have a value; .*"),
        (["evaluate"], "reid-ext evaluate: QUERY.npz must be given; see reid-ext evaluate --help"),
        ([], "reid-ext: COMMAND must be given; see reid-ext --help"),
    ],
)
def test_wrong_command_line_is_one_line_with_the_way_out(arguments, message, run):
    status, out, err = run(*arguments)
    pattern = message.replace("?", r"\?")
    assert (status, out) == (2, "") and re.fullmatch(f"{pattern}\n", err), err
