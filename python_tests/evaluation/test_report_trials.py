"""Reports of SYSU-MM01 and RegDB: the mean over trials, their spread, and the images of one."""

import json
import re

import numpy as np
import pytest
import torch
from cli_cases import typed, write
from report_cases import TRIALS, Reader, sysu_run, sysu_sides

from reid_ext import evaluate_sysu
from reid_ext.report import Run, write_report
from reid_ext.report.camera_pairs import camera_pairs


@pytest.fixture
def files(tmp_path):
    def arrays(of, modality):
        return {
            "features": of.features.numpy(),
            "identities": of.identities,
            "cameras": of.cameras,
            "modalities": np.full(len(of.identities), modality),
        }

    query, gallery = sysu_sides()
    return write(tmp_path, {"infrared": arrays(query, 1), "visible": arrays(gallery, 0)})


@pytest.fixture
def run(capsys):
    return lambda *arguments: typed(capsys, *arguments)


def test_junk_follows_the_sysu_rule():
    one = sysu_run()
    rows = np.arange(24)
    unit = [torch.nn.functional.normalize(s.features) for s in (one.query, one.gallery)]
    junk, same = one.junk(rows), one.same_identity(rows)
    for q, distances in enumerate(-(unit[0] @ unit[1].T).numpy()):
        order = np.argsort(distances, kind="stable")
        right = same[q][order][~junk[q][order]]
        ap = np.mean((right.cumsum() / np.arange(1, len(right) + 1))[right])
        assert float(one.ranking.average_precision[q]) == pytest.approx(ap)


def test_camera_pairs_are_nan_for_one_place():
    one = sysu_run()
    found = camera_pairs(one)
    assert found.query_cameras == [3, 6] and found.gallery_cameras == [1, 2, 4, 5]
    assert np.isnan(found.mAP[0, 1]) and not np.isnan(np.delete(found.mAP.ravel(), 1)).any()
    only = np.flatnonzero(one.gallery.cameras == 4)
    of_four = evaluate_sysu(
        one.query.features,
        one.gallery.features[torch.from_numpy(only)],
        query_ids=one.query.identities,
        gallery_ids=one.gallery.identities[only],
        query_cameras=one.query.cameras,
        gallery_cameras=one.gallery.cameras[only],
        trials=1,
    ).average_precision.numpy()
    for row, camera in enumerate((3, 6)):
        assert found.mAP[row, 2] == pytest.approx(np.nanmean(of_four[one.query.cameras == camera]))


def test_spread_and_precisions_cover_all_trials():
    one = sysu_run()
    maps = [trial.mAP for trial in one.mean.trials]
    spread = one.spread()
    assert (float(spread.mAP.low), float(spread.mAP.high)) == (min(maps), max(maps))
    assert float(spread.cmc.low[0]) == min(trial.rank(1) for trial in one.mean.trials)
    assert len(one.precisions()) == TRIALS * 24 and one.precisions().mean() == pytest.approx(
        np.mean(maps)
    )


def test_report_lists_trials_and_names_the_one_shown(tmp_path):
    one = sysu_run()
    write_report(tmp_path / "out.html", [one])
    page = (tmp_path / "out.html").read_text()
    assert one.mean.protocol in page and "the least and the largest of 4 trials" in page
    maps = np.array([trial.mAP for trial in one.mean.trials])
    assert f"mAP {100 * maps.mean():.2f}\u00a0±\u00a0{100 * maps.std(ddof=1):.2f}" in page
    table = re.findall(r'<section id="trials".*?</section>', page)[0]
    assert all(f">{100 * trial.mAP:.2f}<" in table for trial in one.mean.trials)
    heads = re.findall(r"<h2>([^<]*)</h2>", page)
    assert heads[3:5] == ["Trials", "Angles of pairs, trial 2 of 4"]
    assert heads[-2:] == ["Hardest queries, trial 2 of 4", "All queries, trial 2 of 4"]
    ap = float(one.ranking.average_precision.min())
    assert f"AP {100 * ap:.1f} %, first match" in page


def test_report_says_when_a_run_has_no_trials(tmp_path):
    query, gallery = sysu_sides()
    one = Run("b", query, gallery, sysu_run().ranking, protocol="generic")
    write_report(tmp_path / "out.html", [sysu_run(), one])
    table = re.findall(r'<section id="trials".*?</section>', (tmp_path / "out.html").read_text())[0]
    assert table.endswith("One evaluation, without trials.</p></div></div></section>")


def test_report_has_no_spread_when_there_is_one_trial(run, files, tmp_path):
    flags = ("--protocol", "sysu-mm01", "--trials", 1, "--report", tmp_path / "out.html")
    status, out, _ = run("evaluate", *files, *flags)
    page = (tmp_path / "out.html").read_text()
    assert status == 0 and "Percent. One trial alone: nothing is known of the spread." in page
    assert "±" not in page and "Band: " not in page and "largest of" not in page + out


def test_command_writes_a_sysu_report(run, files, tmp_path):
    flags = ("--protocol", "sysu-mm01", "--mode", "indoor", "--trials", 3, "--seed", 5)
    flags += ("--cmc", "per_image", "--shots", 10, "--report", tmp_path / "out.html")
    status, out, _ = run("evaluate", *files, *flags, "--json")
    query, gallery = sysu_sides()
    want = evaluate_sysu(
        query.features,
        gallery.features,
        query_ids=query.identities,
        gallery_ids=gallery.identities,
        query_cameras=query.cameras,
        gallery_cameras=gallery.cameras,
        mode="indoor",
        trials=3,
        seed=5,
        cmc="per_image",
        shots=10,
    )
    got = json.loads(out)
    assert status == 0 and got["mAP"] == want.mAP and got["protocol"] == want.protocol
    maps = [trial.mAP for trial in want.trials]
    assert got["trials_range"]["mAP"] == [min(maps), max(maps)]
    page = (tmp_path / "out.html").read_text()
    assert "Hardest queries, trial 1 of 3" in page and want.protocol in page
    ap = float(want.trials[0].average_precision.nan_to_num(nan=1).min())
    assert f"AP {100 * ap:.1f} %, first match" in page
    status, out, _ = run("evaluate", *files, "--protocol", "sysu-mm01")
    assert "least to largest of 10 trials: mAP" in out


def test_command_writes_a_regdb_report(run, files, tmp_path):
    infrared, visible = files
    flags = ("--protocol", "regdb", "--json", "--report", tmp_path / "out.html")
    status, out, _ = run("evaluate", infrared, visible, *flags)
    one = json.loads(out)
    assert status == 0 and one["protocol"].startswith("regdb: thermal_to_visible;")
    assert one["trials"] == [] and 'id="trials"' not in (tmp_path / "out.html").read_text()
    again = np.load(infrared)
    np.savez(tmp_path / "q2.npz", **{**again, "features": again["features"][::-1]})
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
    assert status == 1 and f"{files[0]} is a query of thermal_to_visible" in err
    assert run("evaluate", *files[::-1], *flags)[0] == 0


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--mode", "indoor"], "--mode must come with --protocol sysu-mm01, got market1501"),
        (["--seed", 0], "--seed must come with --protocol sysu-mm01"),
        (["--trial", "a,b"], "--trial must come with --protocol regdb"),
        (["--protocol", "regdb", "--trial", ",b"], "--trial must be QUERY.npz,GALLERY.npz, got"),
        (["--protocol", "regdb", "--shots", 10], "--shots must come with --protocol sysu-mm01"),
        (["--protocol", "sysu-mm01", "--trials", 0], "--trials must be at least 1, got 0"),
        (["--protocol", "sysu-mm01", "--rerank"], "--rerank must come with --protocol market1501"),
        (["--protocol", "regdb", "--confidence"], "--confidence must come with --protocol market"),
        (
            ["--protocol", "regdb", "--trial", "a,b", "--compare", "x=a,b", "--report", "o.html"],
            "--compare must not come with --trial",
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
    assert status == 1 and f"{files[1]} must have cameras for --protocol sysu-mm01, got" in err
