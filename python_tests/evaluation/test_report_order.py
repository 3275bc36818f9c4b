"""The lists of a report have the order that the evaluation scored, for all arguments."""

import numpy as np
import pytest
import torch
from report_cases import run, side, sysu_sides, written

from reid_ext import evaluate, evaluation, rerank
from reid_ext.report import Run, facts
from reid_ext.report.camera_pairs import camera_pairs

SINGLE = side(20, 1), side(60, 2)
CANDIDATES = np.random.default_rng(5).random((20, 60)) < 0.6
EVALUATIONS = {
    "market1501": (SINGLE, {}),
    "euclidean": (SINGLE, {"protocol": "generic", "metric": "euclidean"}),
    "sysu": (sysu_sides(), {"protocol": "sysu-mm01", "metric": "squared_euclidean", "seed": 3}),
    "sysu re-ranked": (sysu_sides(), {"protocol": "sysu-mm01", "trials": 2, "rerank": {"k1": 5}}),
    "llcm": (SINGLE, {"protocol": "llcm", "trials": 3}),
    "vehicleid": (SINGLE[1:], {"protocol": "vehicleid", "trials": 3, "seed": 1}),
    "re-ranked": (SINGLE, {"rerank": {"k1": 5, "k2": 3}, "metric": "euclidean"}),
    "classic re-ranked": (SINGLE, {"protocol": "cuhk03-classic", "rerank": True}),
    "candidates": (SINGLE, {"candidates": CANDIDATES}),
    "rules of rows": (
        SINGLE,
        {"junk": lambda pairs: torch.tensor(~CANDIDATES)[pairs.query_rows, pairs.gallery_rows]},
    ),
}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_lists_have_the_scored_order(name):
    sets, options = EVALUATIONS[name]
    one = Run.of(name, *sets, **options)
    direct = evaluate(*sets, **options)
    assert one.ranking.mAP == direct.mAP and str(one.ranking.protocol) == str(direct.protocol)
    first = direct.trials[0] if direct.trials else direct
    query, gallery = one.sides
    rows = np.arange(len(query))
    lists = facts.nearest(one, rows, len(gallery))
    offsets, ranks = (values.tolist() for values in first.match_ranks)
    ids = (sets[0] if len(sets) == 1 else sets[1]).identities
    out = one.left_out(rows)
    for row, listed in enumerate(lists):
        assert len(listed) == len(gallery)
        assert sum(item.verdict == facts.JUNK for item in listed) == out[row].sum()
        ranked = [item for item in listed if item.verdict != facts.JUNK]
        found = [n for n, item in enumerate(ranked, 1) if item.verdict == facts.RIGHT]
        assert found == ranks[offsets[row] : offsets[row + 1]]
        same = [n for n, item in enumerate(ranked, 1) if ids[item.row] == query.identities[row]]
        assert found == same


def test_single_gallery_is_reranked_once_for_ranking_and_lists(monkeypatch):
    calls = []

    def counted(*args, **options):
        calls.append(options)
        return rerank(*args, **options)

    monkeypatch.setattr("reid_ext.report.run.rerank", counted)
    monkeypatch.setattr("reid_ext.evaluation.reranking.rerank", counted)
    one = run(rerank={"method": "gnn", "k1": 5, "k2": 2})
    facts.nearest(one, facts.hardest(one, 5), 10)
    assert calls == [{"method": "gnn", "k1": 5, "k2": 2}]


def test_junk_and_candidates_are_marked_in_the_lists():
    one = run(junk=~CANDIDATES, query=SINGLE[0], gallery=SINGLE[1])
    for row, listed in zip((2, 7), facts.nearest(one, np.array([2, 7]), 60), strict=True):
        junk = {item.row for item in listed if item.verdict == facts.JUNK}
        assert set(np.flatnonzero(~CANDIDATES[row]).tolist()) <= junk
        assert junk == set(np.flatnonzero(one.left_out(np.array([row]))[0]).tolist())
    pairs = camera_pairs(one)
    by_camera = evaluate(
        SINGLE[0].where(cameras=0),
        SINGLE[1].where(cameras=1),
        junk=~CANDIDATES[SINGLE[0].cameras == 0][:, SINGLE[1].cameras == 1],
    )
    assert pairs.mAP[0, 1] == by_camera.mAP


def test_every_protocol_has_a_page(tmp_path):
    of_protocol = {"sysu-mm01": sysu_sides(), "vehicleid": SINGLE[1:]}
    for name in evaluation.PROTOCOLS:
        one = Run.of(name, *of_protocol.get(name, SINGLE), protocol=name)
        page = written(tmp_path, one)
        assert str(one.ranking.protocol) in page
        assert (f"Hardest queries, {one.trial}" in page) == bool(one.ranking.trials)


def test_caption_has_the_rank_of_the_image_and_of_the_cmc(tmp_path):
    one = Run.of("a", *sysu_sides(), protocol="sysu-mm01", trials=1)
    page = written(tmp_path, one)
    offsets, ranks = one.first.match_ranks
    for q in facts.hardest(one, 12).tolist():
        image, of_cmc = int(ranks[offsets[q]]), int(one.first.first_match[q])
        counted = f", which the CMC counts as rank {of_cmc}" if of_cmc != image else ""
        assert f"first match at rank {image}{counted}</p>" in page
