"""Reports of evaluations with trials: mean, spread, and images of the first trial."""

import json
import re

import numpy as np
import pytest
import torch
from cli_cases import typed
from report_cases import TRIALS, Reader, changed, sysu_run, sysu_sides

from reid_ext import FeatureSet, evaluate
from reid_ext.report import Run, write_report
from reid_ext.report.camera_pairs import camera_pairs


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{name}.npz" for name in ("infrared", "visible")]
    for of, path in zip(sysu_sides(), paths, strict=True):
        of.save(path)
    return paths


@pytest.fixture
def run(capsys):
    return lambda *arguments: typed(capsys, *arguments)


def test_junk_follows_the_sysu_rule():
    one = sysu_run()
    rows = np.arange(24)
    unit = [torch.nn.functional.normalize(s.features) for s in one.sides]
    junk, same = one.left_out(rows), one.same_identity(rows)
    for q, distances in enumerate(-(unit[0] @ unit[1].T).numpy()):
        order = np.argsort(distances, kind="stable")
        right = same[q][order][~junk[q][order]]
        ap = np.mean((right.cumsum() / np.arange(1, len(right) + 1))[right])
        assert float(one.first.average_precision[q]) == pytest.approx(ap)


def test_camera_pairs_are_nan_for_one_place():
    one = sysu_run()
    found = camera_pairs(one)
    assert found.query_cameras == [3, 6] and found.gallery_cameras == [1, 2, 4, 5]
    assert np.isnan(found.mAP[0, 1]) and not np.isnan(np.delete(found.mAP.ravel(), 1)).any()
    query, gallery = one.sides
    of_four = evaluate(query, gallery.where(cameras=4), protocol="sysu-mm01", trials=1)
    for row, camera in enumerate((3, 6)):
        ap = of_four.average_precision[query.cameras == camera].numpy()
        assert found.mAP[row, 2] == pytest.approx(np.nanmean(ap))


def test_spread_and_precisions_cover_all_trials():
    one = sysu_run()
    maps = [trial.mAP for trial in one.ranking.trials]
    spread = one.spread()
    assert (float(spread.mAP.low), float(spread.mAP.high)) == (min(maps), max(maps))
    assert float(spread.cmc.low[0]) == min(trial.rank(1) for trial in one.ranking.trials)
    assert len(one.precisions()) == TRIALS * 24 and one.precisions().mean() == pytest.approx(
        np.mean(maps)
    )


def test_report_lists_trials_and_names_the_one_shown(tmp_path):
    one = sysu_run()
    write_report(tmp_path / "out.html", [one])
    page = (tmp_path / "out.html").read_text()
    assert str(one.ranking.protocol) in page and "smallest and largest value of 4 trials" in page
    maps = np.array([trial.mAP for trial in one.ranking.trials])
    assert f"mAP {100 * maps.mean():.2f}\u00a0±\u00a0{100 * maps.std(ddof=1):.2f}" in page
    table = re.findall(r'<section id="trials".*?</section>', page)[0]
    assert all(f">{100 * trial.mAP:.2f}<" in table for trial in one.ranking.trials)
    heads = re.findall(r"<h2>([^<]*)</h2>", page)
    assert heads[3:5] == ["Trials", "Angles of pairs, trial 1 of 4"]
    assert heads[-2:] == ["Hardest queries, trial 1 of 4", "All queries, trial 1 of 4"]
    ap = float(one.first.average_precision.min())
    assert f"AP {100 * ap:.1f} %, first match" in page


def test_report_states_that_a_run_has_no_trials(tmp_path):
    one = Run.of("b", *sysu_sides(), protocol="generic")
    write_report(tmp_path / "out.html", [sysu_run(), one])
    table = re.findall(r'<section id="trials".*?</section>', (tmp_path / "out.html").read_text())[0]
    assert table.endswith(
        "This run is a single evaluation without trials.</p></div></div></section>"
    )


def test_report_has_no_spread_when_there_is_one_trial(run, files, tmp_path):
    flags = ("--protocol", "sysu-mm01", "--trials", 1, "--report", tmp_path / "out.html")
    status, out, _ = run("evaluate", *files, *flags)
    page = (tmp_path / "out.html").read_text()
    assert (
        status == 0 and "Values in percent. With one trial there is no standard deviation." in page
    )
    assert "±" not in page and "Band: " not in page and "largest of" not in page + out


def test_command_writes_a_sysu_report(run, files, tmp_path):
    flags = ("--protocol", "sysu-mm01", "--mode", "indoor", "--trials", 3, "--seed", 5)
    flags += ("--cmc", "per_image", "--shots", 10, "--report", tmp_path / "out.html")
    status, out, _ = run("evaluate", *files, *flags, "--json")
    want = evaluate(
        *sysu_sides(),
        protocol="sysu-mm01",
        mode="indoor",
        trials=3,
        seed=5,
        cmc="per_image",
        shots=10,
    )
    got = json.loads(out)
    assert status == 0 and got["mAP"] == want.mAP and got["protocol"] == want.protocol.to_dict()
    maps = [trial.mAP for trial in want.trials]
    assert got["trials_range"]["mAP"] == [min(maps), max(maps)]
    page = (tmp_path / "out.html").read_text()
    assert "Hardest queries, trial 1 of 3" in page and str(want.protocol) in page
    ap = float(want.trials[0].average_precision.nan_to_num(nan=1).min())
    assert f"AP {100 * ap:.1f} %, first match" in page
    status, out, _ = run("evaluate", *files, "--protocol", "sysu-mm01")
    assert "least to largest of 10 trials: mAP" in out


def test_command_writes_a_regdb_report(run, files, tmp_path):
    infrared, visible = files
    flags = ("--protocol", "regdb", "--json", "--report", tmp_path / "out.html")
    status, out, _ = run("evaluate", infrared, visible, *flags)
    one = json.loads(out)
    assert status == 0 and one["protocol"]["settings"] == {"direction": "thermal_to_visible"}
    assert one["trials"] == [] and 'id="trials"' not in (tmp_path / "out.html").read_text()
    again = FeatureSet.load(infrared)
    changed(again, features=again.features[::-1]).save(tmp_path / "q2.npz")
    status, out, _ = run(
        "evaluate", infrared, visible, *flags, "--trial", f"{tmp_path / 'q2.npz'},{visible}"
    )
    both = json.loads(out)
    assert both["trials"][0] == {key: one[key] for key in both["trials"][0]}
    assert both["mAP"] == pytest.approx(np.mean([t["mAP"] for t in both["trials"]]))
    names = [name for name, _ in Reader((tmp_path / "out.html").read_text()).elements]
    assert names.count("section") == 9


def test_command_raises_when_direction_and_files_differ(run, files):
    flags = ("--protocol", "regdb", "--direction", "visible_to_thermal")
    status, _, err = run("evaluate", *files, *flags)
    assert status == 1 and f"{files[0]}: modalities must be 0 (0 visible, 1 thermal)" in err
    assert run("evaluate", *files[::-1], *flags)[0] == 0


def test_trials_must_have_the_same_direction(run, files):
    infrared, visible = files
    flags = ("--protocol", "regdb", "--trial", f"{visible},{infrared}")
    status, _, err = run("evaluate", infrared, visible, *flags)
    assert status == 1
    assert f"{visible} must have direction thermal_to_visible like {infrared}, got visible" in err


def test_files_of_several_trials_work_with_every_protocol(run, files, tmp_path):
    infrared, visible = files
    flags = ("--protocol", "sysu-mm01", "--trials", 3, "--json")
    one = json.loads(run("evaluate", infrared, visible, *flags)[1])
    again = f"{infrared},{visible}"
    both = json.loads(run("evaluate", infrared, visible, *flags, "--trial", again)[1])
    assert len(both["trials"]) == 6 and both["mAP"] == pytest.approx(one["mAP"])
    flags = ("--protocol", "vehicleid", "--trials", 2, "--json", "--trial", infrared)
    assert len(json.loads(run("evaluate", visible, *flags)[1])["trials"]) == 4


def test_single_set_protocol_rejects_a_second_file(run, files):
    status, _, err = run("evaluate", *files, "--protocol", "vehicleid")
    assert status == 2 and "GALLERY.npz must be left out with --protocol vehicleid" in err


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ["--mode", "indoor"],
            "--mode must be left out with --protocol market1501, got",
        ),
        (["--seed", 0], "got 0; it is a setting of cuhk03-classic, sysu-mm01, vehicleid"),
        (["--protocol", "regdb", "--trial", ",b"], "--trial must be QUERY.npz,GALLERY.npz, got"),
        (
            ["--protocol", "regdb", "--shots", 10],
            "--shots must be left out with --protocol",
        ),
        (
            ["--protocol", "sysu-mm01", "--trials", 0],
            "--trials must be an integer >= 1, got 0",
        ),
        (["--protocol", "sysu-mm01", "--confidence"], "--confidence must be left out with"),
        (
            ["--protocol", "regdb", "--trial", "a,b", "--compare", "x=a,b", "--report", "o.html"],
            "--compare must be left out with --trial",
        ),
    ],
)
def test_command_rejects_flags_of_other_protocols(flags, message, run, files):
    status, _, err = run("evaluate", *files, *flags)
    assert status == 2 and message in err and err.count("\n") == 1


def test_command_rejects_sysu_without_cameras(run, files, tmp_path):
    arrays = dict(np.load(files[1]))
    del arrays["cameras"]
    np.savez(tmp_path / "visible.npz", **arrays)
    status, _, err = run("evaluate", *files, "--protocol", "sysu-mm01")
    assert status == 1 and f"{files[1]}: cameras must be given for protocol 'sysu-mm01'" in err
