"""Protocol objects: their fields, adding a protocol, and the provenance of a result."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import reid_ext
from reid_ext import ArgumentError, FeatureSet, evaluate, evaluate_sysu
from reid_ext.evaluation import PROTOCOLS, Protocol, evaluate_llcm, ranked_lists, trials

ROOT = Path(__file__).parents[2]


def people(rows, cameras, seed, **columns):
    """Features of eight identities with their columns."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 8, rows)
    centers = np.random.default_rng(0).normal(size=(8, 16))
    features = centers[ids] + 1.5 * rng.normal(size=(rows, 16))
    return FeatureSet(
        features.astype(np.float32), identities=ids, cameras=rng.choice(cameras, rows), **columns
    )


def problem(name):
    """Queries and gallery for a protocol."""
    if name == "sysu-mm01":
        return people(30, (3, 6), 1), people(120, (1, 2, 4, 5), 2)
    if PROTOCOLS[name].one_set:
        return people(60, (1,), 1), None
    return people(30, (1, 2), 1), people(90, (1, 2, 3), 2)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocol_declares_its_fields(name):
    protocol = PROTOCOLS[name]
    assert protocol.name == name and protocol.title and protocol.reference
    assert "identities" in protocol.columns
    assert len({result.name for result in protocol.results()}) == len(protocol.results())
    for setting in protocol.settings:
        assert setting.help and (setting.default is None or setting.read("f", setting.default) ==
                                 setting.default)  # fmt: skip


@pytest.mark.parametrize("rerank", [False, {"k1": 5, "k2": 2}])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_evaluate_supports_every_protocol(name, rerank):
    query, gallery = problem(name)
    ranking = evaluate(query, gallery, protocol=name, rerank=rerank)
    assert 0.125 < ranking.mAP <= 1 and ranking.protocol.protocol == name
    assert ranking.protocol.rerank == (rerank or None)
    assert bool(ranking.trials) == PROTOCOLS[name].draws
    content = json.loads(json.dumps(ranking.to_dict()))
    assert content["protocol"]["text"] == str(ranking.protocol)
    assert content["protocol"]["queries"] == ranking.protocol.queries > 0


def test_named_functions_equal_evaluate():
    query, gallery = problem("sysu-mm01")
    arrays = {
        "query_ids": query.identities,
        "gallery_ids": gallery.identities,
        "query_cameras": query.cameras,
        "gallery_cameras": gallery.cameras,
    }
    settings = {"mode": "indoor", "shots": 10, "trials": 3, "seed": 5}
    got = evaluate_sysu(query.tensor(), gallery.tensor(), **arrays, **settings)
    want = evaluate(query, gallery, protocol="sysu-mm01", **settings)
    assert torch.equal(got.cmc, want.cmc) and got.mAP == want.mAP and got.protocol == want.protocol
    with pytest.raises(ArgumentError, match="evaluate_sysu: mode must be one of 'all', 'indoor'"):
        evaluate_sysu(query.tensor(), gallery.tensor(), **arrays, mode="outdoor")


def test_provenance_prints_its_fields():
    query, gallery = problem("sysu-mm01")
    ranking = evaluate(query, gallery, protocol="sysu-mm01", mode="indoor", trials=2)
    made = ranking.protocol
    assert str(made) == (
        "sysu-mm01 (mode indoor, shots 1, draw seed 0): junk same location; ties broken by gallery "
        "index, NaN last; CMC of identities, each by its nearest image; AP step; cosine; "
        f"30 queries x {made.gallery} gallery images; mean of 2 trials"
    )
    assert made.to_dict()["settings"] == {"mode": "indoor", "shots": 1, "draw": "seed 0"}


def test_llcm_breaks_ties_by_gallery_index():
    ranking = evaluate_llcm(
        torch.tensor([[1.0, 0.0]]),
        torch.tensor([[1.0, 0.0], [1.0, 0.0]]),
        query_ids=[5],
        gallery_ids=[5, 2],
        query_cameras=[1],
        gallery_cameras=[2, 2],
        galleries=[[0, 1]],
    )
    assert ranking.rank(1) == 1.0 and ranking.mAP == 1.0  # identity 2 has the higher gallery index


@pytest.mark.parametrize("metric", ["cosine", "squared_euclidean"])
@pytest.mark.parametrize("rerank", [False, {"k1": 5, "k2": 2}])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_ranked_lists_have_the_scored_order(name, rerank, metric):
    query, gallery = problem(name)
    options = {"protocol": name, "rerank": rerank, "metric": metric}
    ranking = evaluate(query, gallery, **options)
    first = ranking.trials[0] if ranking.trials else ranking
    count = len(first.average_precision)
    size = len(query if gallery is None else gallery)
    lists = ranked_lists(query, gallery, queries=range(count), length=size, **options)
    offsets, ranks = first.match_ranks
    for q in range(count):
        places = lists.matches[q].nonzero()[:, 0] + 1
        assert places.tolist() == ranks[offsets[q] : offsets[q + 1]].tolist()
        shown = lists.gallery[q] >= 0
        assert bool((lists.distances[q][shown].diff() >= 0).all()) and not lists.junk[q].any()
    with_junk = ranked_lists(
        query, gallery, queries=range(count), length=size, with_junk=True, **options
    )
    assert bool(with_junk.junk.any()) == bool(PROTOCOLS[name].same)


def test_ranked_lists_exclude_pairs_excluded_by_rules():
    query, gallery = problem("market1501")
    allowed = torch.zeros(30, 90, dtype=torch.bool)
    allowed[:, ::2] = True
    lists = ranked_lists(query, gallery, queries=[3, 4], length=90, candidates=allowed)
    shown = lists.gallery[lists.gallery >= 0]
    assert len(shown) > 0 and bool((shown % 2 == 0).all())
    with pytest.raises(ArgumentError, match="queries must contain query indices from 0 to 29"):
        ranked_lists(query, gallery, queries=[30])


def test_trials_equal_those_of_the_evaluation():
    query, gallery = problem("sysu-mm01")
    found = trials(query, gallery, protocol="sysu-mm01", trials=4, seed=3)
    assert len(found) == 4 and all(trial.query is None for trial in found)
    first = evaluate(query, gallery, protocol="sysu-mm01", trials=4, seed=3).trials[0]
    assert len(found[0].gallery) == first.protocol.gallery


def test_evaluate_accepts_a_custom_protocol():
    query, gallery = problem("generic")
    own = Protocol("own", "my own", "nowhere", same=("cameras",), junk="same camera")
    ranking = evaluate(query, gallery, protocol=own)
    masks = query.cameras[:, None] == gallery.cameras
    want = evaluate(query, gallery, protocol="generic", junk=masks)
    assert torch.equal(ranking.average_precision, want.average_precision)
    assert str(ranking.protocol).startswith("own: junk same camera; ")


NEW = '''"""A protocol that a test adds: images of one room are junk."""

from reid_ext.evaluation.protocols.protocol import Protocol, Setting

PROTOCOL = Protocol(
    name="rooms",
    title="Rooms",
    reference="a test",
    columns=("identities", "rooms"),
    same=("rooms",),
    junk="same room",
    settings=(Setting("floor", 0, "the floor of the building", least=0),),
)
'''


@pytest.mark.slow
def test_protocol_needs_one_file_and_one_line(tmp_path):
    copy = tmp_path / "reid_ext"
    shutil.copytree(Path(reid_ext.__file__).parent, copy)
    folder = copy / "evaluation" / "protocols"
    (folder / "rooms.py").write_text(NEW)
    registry = folder / "__init__.py"
    registry.write_text(
        registry.read_text().replace('    "generic",\n', '    "generic",\n    "rooms",\n')
    )
    query, gallery = problem("generic")
    for name, features in (("q", query), ("g", gallery)):
        rooms = features.cameras + 10
        FeatureSet(features.tensor(), identities=features.identities, rooms=rooms).save(
            tmp_path / f"{name}.npz"
        )
    command = [sys.executable, "-m", "reid_ext.cli", "evaluate", "q.npz", "g.npz"]
    done = subprocess.run(
        [*command, "--protocol", "rooms", "--floor", "2", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["protocol"]["text"].startswith("rooms (floor 2): junk same room; ")
    want = evaluate(
        query, gallery, protocol="generic", junk=query.cameras[:, None] == gallery.cameras
    )
    assert content["mAP"] == want.mAP
