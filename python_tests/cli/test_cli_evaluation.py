"""The results, warnings and error lines of `reid-ext evaluate`."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from cli_cases import direct, problem, typed, write

import reid_ext
from reid_ext import FeatureSet, evaluate
from reid_ext.evaluation import PROTOCOLS, Protocol
from reid_ext.evaluation.protocols import Setting

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
    assert status == 0 and str(want) in out and "95 % confidence interval: mAP" in out
    status, out, _ = run("evaluate", *files, "--json", "--metric", "euclidean", "--rerank")
    got = json.loads(out)
    assert status == 0 and got["mAP"] == direct(metric="euclidean", rerank=True).mAP
    assert "re-ranked" in got["protocol"]["text"] and len(got["cmc"]) == 50


def test_evaluate_prints_values_of_queries_only_if_asked(run, files):
    content = json.loads(run("evaluate", *files, "--json")[1])
    assert "average_precision" not in content and "inverse_negative_penalty" not in content
    content = json.loads(run("evaluate", *files, "--json", "--per-query")[1])
    assert content["average_precision"] == direct().average_precision.tolist()
    status, _, err = run("evaluate", *files, "--per-query")
    assert status == 2 and "--per-query must be used with --json" in err


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "must be a feature file (.npz), got a path that does not exist"),
        (b"no zip at all", "must be a feature file (.npz with features"),
        ({"features": np.ones((3, 2))}, "got no identities"),
        ({"features": np.ones(3), "identities": np.ones(3, int)}, "shape (N, D)"),
        (
            {"features": np.ones((3, 2), int), "identities": np.ones(3, int)},
            "features of int64; convert",
        ),
        ({"features": np.array([object()]), "identities": np.ones(1)}, "must be a feature file"),
        ({"features": ONES, "identities": np.ones(2, int)}, "identities must have shape (3,)"),
    ],
)
def test_evaluate_names_invalid_files(content, message, run, files):
    if content is None:
        files[0].unlink()
    elif isinstance(content, bytes):
        files[0].write_bytes(content)
    else:
        np.savez(files[0], **content)
    status, out, err = run("evaluate", *files, "--json")
    assert status == 1 and message in err and err.count("\n") == 1
    assert err.startswith(f"reid-ext evaluate: {files[0]}")
    assert json.loads(out) == {"ok": False, "error": err.rstrip("\n")}


@pytest.mark.parametrize(
    "flags, status, message",
    [
        (["--device", "cuda:99"], 2, "--device must be a device of this machine, got 'cuda:99'"),
        (["--device", "banana"], 2, "this machine, got 'banana'; use cpu"),
        (["--device", "meta"], 2, "this machine, got 'meta'; use cpu"),
        (["--device", "cuda:-1"], 2, "this machine, got 'cuda:-1'; use cpu"),
        (["--k1", "4"], 2, "--k1 must be left out without --rerank, got 4"),
        (["--rerank", "--k2", "0"], 2, "reid-ext evaluate: --k2 must be an integer >= 1"),
        (["--protocol", "imagenet"], 2, "--protocol must be one of market1501"),
        (["--max-rank", "0"], 2, "evaluate: --max-rank must be an integer >= 1, got 0"),
        (["--confidence", "--protocol", "cuhk03-classic"], 2, "--confidence must be left out with"),
        (["--report", "."], 2, "--report must end in .html"),
        (["--name", "mine"], 2, "--name must be left out without --report, got mine"),
    ],
)
def test_evaluate_returns_2_for_invalid_flags(flags, status, message, run, files):
    got, _, err = run("evaluate", *files, *flags)
    assert got == status and message in err


def test_evaluate_names_the_flag_of_an_unwritable_report(run, files):
    status, _, err = run("evaluate", *files, "--report", "/proc/out.html")
    assert status == 1 and "--report must be a path that can be written, got /proc/out.html" in err


@pytest.mark.parametrize(
    "change, message",
    [
        ({"identities": np.array([1, 2.5, 3])}, "identities must be integers, or whole numbers"),
        ({"identities": np.array(["7", "007", "b"])}, "identities must spell each number in one"),
        ({"cameras": np.array([0, 255, 1], np.uint8)}, "cameras must not hold 255, which is"),
        ({"cameras": np.arange(2)}, "cameras must have shape (3,), one for each row of features"),
        ({"cameras": -np.ones(3, int)}, "cameras must not be negative, got -1"),
    ],
)
def test_evaluate_names_the_file_of_invalid_labels(change, message, run, files):
    labels = {"identities": np.arange(3), "cameras": np.arange(3)}
    np.savez(files[0], features=ONES, **(labels | change))
    status, _, err = run("evaluate", *files)
    assert status == 1 and f"reid-ext evaluate: {files[0]}: {message}" in err


def test_evaluate_names_files_without_rows_or_cameras(run, files):
    np.savez(files[1], features=ONES, identities=np.arange(3))
    status, _, err = run("evaluate", *files)
    assert status == 1 and f"{files[1]}: cameras must be given for protocol 'market1501'" in err
    assert "use protocol 'generic'" in err
    np.savez(files[1], features=ONES[:0], identities=[])
    status, _, err = run("evaluate", *files)
    assert status == 1 and f"{files[1]}: features must have shape (N, D) with N >= 1" in err


def test_evaluate_names_the_file_with_another_feature_length(run, files):
    np.savez(files[1], features=ONES[:, :4], identities=np.arange(3), cameras=np.arange(3))
    status, _, err = run("evaluate", *files)
    assert status == 1
    assert f"reid-ext evaluate: {files[1]} must have feature dimension 6 like query, got 4" in err


def test_evaluate_warns_when_query_and_gallery_are_equal(run, files):
    command = ("evaluate", files[0], files[0], "--protocol", "generic")
    status, out, _ = run(*command)
    assert status == 0 and "warning (finds-itself): 20 of 20 queries match a copy" in out
    status, out, _ = run(*command, "--strict")
    assert status == 1 and "warning (finds-itself)" in out
    content = json.loads(run(*command, "--strict", "--json")[1])
    assert not content["ok"] and content["findings"][0]["code"] == "finds-itself"
    assert run("evaluate", *files, "--strict")[0] == 0


def test_evaluate_leaves_out_each_image_itself(run, files):
    flags = ("--protocol", "generic", "--leave-one-out")
    status, out, _ = run("evaluate", files[1], files[1], *flags)
    assert status == 0 and "finds-itself" not in out and "user-supplied junk" in out
    status, _, err = run("evaluate", *files, *flags)
    assert status == 2 and "--leave-one-out must be used with one file given twice, got" in err


@pytest.mark.parametrize("content", [b"hello", b"", b"PK\x03\x04"])
def test_error_about_a_text_file_does_not_mention_pickle(content, run, files):
    files[0].write_bytes(content)
    status, _, err = run("evaluate", *files)
    assert status == 1 and "got a file of another kind, or an incomplete one" in err
    assert "pickle" not in err


def test_evaluate_names_a_folder_given_as_a_file(run, files):
    status, _, err = run("evaluate", files[0].parent, files[1])
    assert status == 1 and "got a folder; give a file in it" in err


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf"])
def test_bench_returns_2_for_invalid_seconds(seconds, run):
    status, _, err = run("bench", "--seconds", seconds)
    assert status == 2 and "reid-ext bench: --seconds must be a finite number >= 0, got" in err


@pytest.mark.parametrize("content", [b"", b"x", b"hello" * 200, bytes(range(256)) * 4])
def test_invalid_mat_file_gives_one_error_line(content, run, tmp_path):
    pytest.importorskip("scipy")
    (tmp_path / "text.mat").write_bytes(content)
    status, _, err = run("evaluate", tmp_path / "text.mat")
    assert status == 1 and err.count("\n") == 1 and "text.mat must be a .mat file" in err


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_evaluate_warns_of_rows_that_are_not_finite(value, run, tmp_path):
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
        assert status == 1 and err.count("\n") == 1
        assert f"{files[0]} must be finite, got NaN or infinity in row 5; " in err


def test_evaluate_gives_no_warning_for_finite_features(run, files):
    status, out, err = run("evaluate", *files, "--json")
    assert status == 0 and err == "" and json.loads(out)["not_finite"] == []


@pytest.mark.parametrize("name", [n for n in PROTOCOLS if n not in ("sysu-mm01", "vehicleid")])
@pytest.mark.parametrize("flags", [(), ("--rerank", "--k1", 9)], ids=["plain", "re-ranked"])
def test_evaluate_supports_every_protocol(flags, name, run, files):
    status, out, _ = run("evaluate", *files, "--protocol", name, "--json", *flags)
    want = direct(protocol=name, rerank={"k1": 9} if flags else False)
    got = json.loads(out)
    assert status == 0 and got["mAP"] == want.mAP and got["cmc"] == want.cmc.tolist()
    assert got["protocol"] == want.protocol.to_dict()


@pytest.mark.parametrize("rerank", [False, True])
def test_evaluate_supports_protocols_with_other_files(rerank, run, tmp_path):
    sides = problem()
    sides["query"]["cameras"][:] = 3
    sides["gallery"]["cameras"] += 1
    sides["gallery"]["cameras"][sides["gallery"]["cameras"] == 3] = 4
    files = write(tmp_path, sides)
    sets = [FeatureSet(**arrays) for arrays in sides.values()]
    flags = ["--json", *["--rerank"] * rerank]
    for paths, given, protocol in (
        (files, sets, "sysu-mm01"),
        (files[1:], sets[1:], "vehicleid"),
    ):
        status, out, _ = run("evaluate", *paths, "--protocol", protocol, "--trials", 2, *flags)
        want = evaluate(*given, protocol=protocol, trials=2, rerank=rerank)
        assert status == 0 and json.loads(out)["mAP"] == want.mAP


def test_evaluate_help_groups_the_settings_by_protocol(run):
    status, out, _ = run("evaluate", "--help")
    words = " ".join(out.split())
    assert status == 0
    for protocol in PROTOCOLS.values():
        for setting in protocol.settings:
            assert f" --{setting.name} " in words or not setting.is_flag
    assert "settings of --protocol sysu-mm01 (SYSU-MM01): --mode {all,indoor}" in words
    assert "random galleries to draw, for sysu-mm01, llcm, vehicleid (default: 10)" in words


def test_evaluate_supports_a_new_protocol_without_changes(run, files, monkeypatch):
    shirts = Protocol(
        name="shirts",
        title="Shirts",
        reference="none",
        settings=(Setting("weeks", 2, "weeks between the images", least=1),),
    )
    monkeypatch.setitem(PROTOCOLS, "shirts", shirts)
    status, out, _ = run("evaluate", *files, "--protocol", "shirts", "--weeks", 3, "--json")
    got = json.loads(out)
    assert status == 0 and got["mAP"] == direct(protocol="dukemtmc-reid").mAP
    assert got["protocol"]["settings"] == {"weeks": 3}
    status, _, err = run("evaluate", *files, "--weeks", 3)
    assert status == 2 and "--weeks must be left out with --protocol market1501, got 3" in err


def test_cli_and_report_contain_no_protocol_names():
    """All facts about a protocol are in the file of the protocol."""
    found = {}
    for folder in ("cli", "report"):
        for path in Path(reid_ext.__file__).with_name(folder).glob("*.py"):
            if names := {n.value for n in ast.walk(ast.parse(path.read_text())) if is_name(n)}:
                found[path.name] = names
    # a report ranks pairs of cameras with the junk of the run, so it uses generic
    own = {"dukemtmc-reid", "generic"}
    assert found == {"protocols.py": own, "camera_pairs.py": {"generic"}}


def is_name(node):
    return isinstance(node, ast.Constant) and node.value in tuple(PROTOCOLS)


@pytest.mark.filterwarnings("default")
def test_library_warnings_are_one_line(run, files):
    arrays = dict(np.load(files[0]))
    np.savez(files[0], **arrays, extra=np.ones((2, 2)))
    status, _, err = run("evaluate", *files)
    assert status == 0 and err.count("\n") == 1 and "UserWarning" not in err
    assert err.startswith(f"reid-ext: warning: FeatureSet.load: {files[0]} holds arrays that")
