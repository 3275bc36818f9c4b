"""The report agrees with the evaluation, and text of the data never becomes markup."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest
import torch
from report_cases import NASTY, Reader, changed, labels, run, side, written

from reid_ext import cli, evaluate, viz
from reid_ext.report import Run, facts, overview, write_report
from reid_ext.report.camera_pairs import camera_pairs
from reid_ext.report.markup import Markup, tag


def test_report_shows_metrics_and_protocol(tmp_path):
    one = run()
    page = written(tmp_path, one)
    for value in (one.ranking.rank(1), one.ranking.mAP, one.ranking.mINP):
        assert f"{100 * value:.2f}" in page
    assert str(one.ranking.protocol) in page
    keys = re.findall(r"<nav.*?</nav>", page)[0]
    assert all(f' id="{key}"' in page for key in re.findall(r'href="#([^"]+)"', keys))


def test_angles_leave_out_junk_pairs():
    one = run()
    found = facts.angles(one)
    unit = torch.nn.functional.normalize(one.query.features.double())
    other = torch.nn.functional.normalize(one.gallery.features.double())
    degrees = torch.rad2deg(torch.arccos((unit @ other.T).clamp(-1, 1))).numpy()
    (q_ids, q_cameras), (g_ids, g_cameras) = labels(one.query), labels(one.gallery)
    same = q_ids[:, None] == g_ids
    junk = same & (q_cameras[:, None] == g_cameras)
    for shares, pairs in ((found.positive, same & ~junk), (found.negative, ~same)):
        want = np.histogram(degrees[pairs], np.arange(0, 181, 2))[0] / pairs.sum()
        np.testing.assert_allclose(
            shares, want, atol=1.01 / pairs.sum()
        )  # a pair may be at an edge
    assert abs(found.positive_median - np.median(degrees[same & ~junk])) < 4


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_report_is_written_when_features_are_not_finite(value, tmp_path):
    query, gallery = side(20, 1), side(60, 2)
    query.features[3, 2] = gallery.features[5, 1] = value
    one = run(query=query, gallery=gallery)
    found = facts.angles(one)
    assert abs(found.positive.sum() - 1) < 1e-9 and abs(found.negative.sum() - 1) < 1e-9
    placed = facts.embedding_map(one)
    assert len(placed.xy) == len(placed.color) == 78 and np.isfinite(placed.xy).all()
    assert str(one.ranking.protocol) in written(tmp_path, one)


@pytest.mark.parametrize("protocol", ["market1501", "generic"])
def test_camera_pairs_equal_separate_evaluations(protocol):
    query, gallery = side(20, 1), side(60, 2)
    (q_ids, q_cameras), (g_ids, g_cameras) = labels(query), labels(gallery)
    g_ids[::9] = -1  # market1501 ignores these, generic ranks them
    g_ids[(g_cameras == 1) & (g_ids == 3)] = 0
    q_ids[q_cameras == 2] = 3  # camera 1 has no match for camera 2
    query, gallery = changed(query, identities=q_ids), changed(gallery, identities=g_ids)
    one = run(protocol=protocol, query=query, gallery=gallery)
    found = camera_pairs(one)
    assert np.isnan(found.mAP[2, 1])
    for a, b in np.ndindex(3, 3):
        if (a == b and protocol == "market1501") or (a, b) == (2, 1):
            assert np.isnan(found.mAP[a, b])  # every match of the query's own camera is junk
            continue
        of_two = evaluate(query.where(cameras=a), gallery.where(cameras=b), protocol=protocol)
        assert found.mAP[a, b] == of_two.mAP


def test_camera_pairs_are_nan_when_no_query_has_a_match():
    query, gallery = side(20, 1), side(60, 2)
    ids, cameras = labels(gallery)
    cameras[:5], ids[:5] = 9, 77
    gallery = changed(gallery, identities=ids, cameras=cameras)
    found = camera_pairs(run(query=query, gallery=gallery))
    assert found.gallery_cameras == [0, 1, 2, 9] and np.isnan(found.mAP[:, 3]).all()
    others = gallery[np.arange(5, 60)]
    np.testing.assert_array_equal(
        found.mAP[:, :3], camera_pairs(run(query=query, gallery=others)).mAP
    )


def test_report_states_that_cameras_are_missing(tmp_path):
    query, gallery = (changed(side(count, count), cameras=None) for count in (20, 60))
    one = run(protocol="generic", query=query, gallery=gallery)
    assert camera_pairs(one) is None
    assert "This run has no camera labels." in written(tmp_path, one)


def test_nearest_lists_gallery_in_order_with_verdicts():
    one = run()
    rows = facts.hardest(one, 5)
    ap = one.ranking.average_precision[torch.tensor(rows)]
    assert torch.equal(ap, one.ranking.average_precision.sort().values[:5])
    listed = facts.nearest(one, rows, 60)
    cosine = torch.nn.functional.cosine_similarity(
        one.query.features[rows[0]], one.gallery.features
    )
    assert [i.row for i in listed[0]] == cosine.argsort(descending=True).tolist()
    for item in listed[0]:
        same = one.gallery.identities[item.row] == one.query.identities[rows[0]]
        junk = same and one.gallery.cameras[item.row] == one.query.cameras[rows[0]]
        assert item.verdict == (facts.JUNK if junk else facts.RIGHT if same else facts.WRONG)


def test_nearest_follows_given_distances():
    one = run()
    distances = torch.rand(20, 60)
    again = Run("b", one.query, one.gallery, one.ranking, distances=distances)
    listed = facts.nearest(again, np.array([3]), 4)[0]
    assert [i.row for i in listed] == distances[3].argsort()[:4].tolist()


def test_embedding_map_keeps_the_variance_of_pca():
    one = run()
    found = facts.embedding_map(one)
    x = torch.nn.functional.normalize(
        torch.cat([one.query.features, one.gallery.features])
    ).double()
    variances = torch.linalg.svdvals(x - x.mean(0)).square()
    assert found.kept == pytest.approx(float(variances[:2].sum() / variances.sum()), abs=1e-6)
    assert np.square(found.xy).sum(0) == pytest.approx(variances[:2].numpy(), rel=1e-5)


def test_report_embeds_images_and_names_missing_ones(tmp_path):
    for name in ("q", "g"):
        (tmp_path / name).mkdir()
    query, gallery = side(20, 1, folder=tmp_path / "q"), side(60, 2, folder=tmp_path / "g")
    for path in [*query.columns["paths"], *gallery.columns["paths"][:30]]:
        viz.save_image(path, np.full((40, 20, 3), 90, np.uint8))
    (tmp_path / "g" / "040.png").write_text("no image")
    page = written(tmp_path, run(query=query, gallery=gallery))
    assert page.count("data:image/jpeg;base64,") > 12 and "no image" in page
    images = [a for name, a in Reader(page).elements if name == "img"]
    assert all(a["src"].startswith("data:image/jpeg") and a["alt"] for a in images)
    assert str(tmp_path) not in page  # names of files without their folders


def test_report_counts_the_images_found(tmp_path):
    query, gallery = (side(1, seed, 1, tmp_path / name) for seed, name in ((1, "q"), (2, "g")))
    one = run("a", "generic", query, gallery)
    assert "0 of 2 images found." in written(tmp_path, one)
    (tmp_path / "g").mkdir()
    viz.save_image(tmp_path / "g" / "000.png", np.full((40, 20, 3), 90, np.uint8))
    assert "1 of 2 images found." in written(tmp_path, one)
    assert "no column paths" in written(tmp_path, run())


def test_report_counts_a_path_that_is_too_long_as_missing(tmp_path):
    one = changed(side(1, 1, 1), paths=["x" * 5000])
    assert "0 of 1 images found." in written(tmp_path, run("a", "generic", one, one))


def test_report_shows_identity_and_camera_below_each_image(tmp_path):
    one = run(
        query=changed(side(1, 1), identities=[41], cameras=[7]),
        gallery=changed(side(2, 2), identities=[41, 42], cameras=[8, 9]),
    )
    texts = re.findall(r'<span class="words">([^<]*)</span>', written(tmp_path, one))
    assert texts[:3] == ["query", "id 41", "camera 7"]
    assert sorted(t for t in texts[3:] if t.startswith(("id", "cam"))) == [
        "camera 8",
        "camera 9",
        "id 41",
        "id 42",
    ]


def test_angles_of_compared_runs_share_their_axes():
    near = side(20, 1)
    far = changed(near, features=-near.features)
    runs = [run("a", "generic", near, near), run("b", "generic", near, far)]
    first, second = (
        re.findall(r"<text[^>]*>[^<]*[°%]</text>", drawn) for drawn in overview.angles(runs)
    )
    assert first == second and any("180°" in tick for tick in first)
    assert not any("180°" in tick for tick in overview.angles(runs[:1]))


def test_report_shows_map_first(tmp_path):
    heads = re.findall(r"<button type=\"button\">([^<]*)</button>", written(tmp_path, run()))
    assert heads[:3] == ["run", "mAP", "rank-1"]


def test_report_escapes_names_from_the_data(tmp_path):
    query, gallery = (
        changed(side(count, seed), paths=[NASTY] * count) for count, seed in ((20, 1), (60, 2))
    )
    page = written(tmp_path, run(NASTY, query=query, gallery=gallery), title=NASTY)
    found = Reader(page)
    names = [name for name, _ in found.elements]
    assert names.count("script") == 1 and "img" not in names
    assert not [a for _, attributes in found.elements for a in attributes if a.startswith("on")]
    assert not [attributes for _, attributes in found.elements if "style" in attributes]
    assert found.texts["title"] == NASTY


def test_content_policy_allows_only_own_style_and_script(tmp_path):
    found = Reader(written(tmp_path, run()))
    (policy,) = (a["content"] for n, a in found.elements if a.get("http-equiv"))
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(found.texts[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("protocol", ["generic", "cuhk03-classic", "veri776"])
def test_report_is_written_for_every_protocol(protocol, tmp_path):
    ids = labels(side(20, 1))[0]
    ids[3] = 99
    query = changed(side(20, 1), identities=ids)
    page = written(tmp_path, run(query=query, protocol=protocol))
    is_classic = protocol == "cuhk03-classic"  # a mean over galleries has no intervals
    assert ("cuhk03-classic" in page) == is_classic == ("bootstrap interval" not in page)


def test_report_compares_runs_with_other_queries(tmp_path):
    page = written(tmp_path, run("a"), run("b", query=side(12, 5)))
    assert "<b>b: </b>" in page and "AP, b" not in page
    page = written(tmp_path, run("a"), run("b", gallery=side(50, 7)))
    assert "AP, b" in page


def test_write_report_raises_for_wrong_arguments(tmp_path):
    with pytest.raises(
        ValueError, match="write_report: runs must contain at least one run, with different"
    ):
        write_report(tmp_path / "a.html", [run(), run()])
    with pytest.raises(FileNotFoundError, match=r"write_report: path must be in a folder that"):
        write_report(tmp_path / "missing" / "a.html", [run()])


def test_markup_escapes_text_and_attributes():
    assert tag("b", "<i>", class_='"x"') == '<b class="&quot;x&quot;">&lt;i&gt;</b>'
    assert tag("b", Markup("<i>"), data_value=1.5, hidden=True, id=None) == (
        '<b data-value="1.5" hidden><i></b>'
    )


def command(tmp_path, *arguments):
    for name, count in (("q", 20), ("g", 60)):
        side(count, count).save(tmp_path / f"{name}.npz")
    files = [str(tmp_path / f"{name}.npz") for name in "qg"]
    return cli.main(["evaluate", *files, *(str(a) for a in arguments)])


def test_command_writes_a_report_with_compared_runs(tmp_path, capsys):
    other = f"again={tmp_path / 'q.npz'},{tmp_path / 'g.npz'}"
    flags = ["--report", tmp_path / "out.html", "--compare", other, "--json", "--rerank"]
    assert command(tmp_path, *flags, "--name", "mine") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["compare"]["again"]["mAP"] == found["mAP"]
    page = (tmp_path / "out.html").read_text()
    assert "<title>mine</title>" in page and "<b>again: </b>" in page and "re-ranked" in page


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--report", "out.pdf"], "--report must end in .html"),
        (["--report", "missing/out.html"], "--report must be in a folder that exists"),
        (["--compare", "a=b,c"], "--compare must be left out without --report"),
        (["--report", "a.html", "--compare", "b"], "--compare must be NAME=QUERY.npz,GALLERY"),
        (
            ["--report", "a.html", "--compare", "this run=b,c"],
            "have different names, got this",
        ),
    ],
)
def test_command_returns_2_for_wrong_report_flags(flags, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(tmp_path, *flags) == 2 and message in capsys.readouterr().err


def test_report_has_the_same_bytes_for_a_given_date(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    pages = [written(tmp_path, run()) for _ in range(2)]
    assert pages[0] == pages[1] and "reid-ext evaluate, 1970-01-02 00:00" in pages[0]
    for wrong in ("yesterday", "9" * 30):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        with pytest.raises(
            ValueError, match="SOURCE_DATE_EPOCH must be the seconds since 1970, got"
        ):
            written(tmp_path, run())
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert "1970-01-02" not in written(tmp_path, run())
