"""Functions of the evaluation for other packages: rank_shard and read_options."""

import pytest
import torch
from torch import nn

from reid_ext import ArgumentError, FeatureSet, evaluate
from reid_ext.evaluation import METHODS, rank_shard, read_options

OPTIONS = {"protocol": "market1501", "metric": None, "max_rank": 9, "average_precision": None}


def problem():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(70, 8, generator=generator)
    ids = torch.randint(-1, 6, (70,), generator=generator)
    cameras = torch.randint(0, 3, (70,), generator=generator)
    whole = FeatureSet(x, identities=ids, cameras=cameras)
    return whole[:20].where(identities=range(6)), whole[20:]


def test_rank_shard_of_a_whole_gallery_equals_evaluate():
    query, gallery = problem()
    ranking = rank_shard(
        "f", query, gallery.columns, gallery.tensor(), torch.arange(50), lambda x: None,
        **OPTIONS, compute="exact",
    )  # fmt: skip
    want = evaluate(query, gallery, max_rank=9)
    assert torch.equal(ranking.average_precision, want.average_precision)
    assert torch.equal(ranking.cmc, want.cmc) and ranking.protocol == want.protocol


def test_rank_shard_raises_for_protocols_that_draw_galleries():
    query, gallery = problem()
    for name in ("llcm", "cuhk03-classic"):
        with pytest.raises(ArgumentError, match="f: protocol must have a single gallery"):
            rank_shard(
                "f", query, gallery.columns, gallery.tensor(), torch.arange(50), nn.Identity(),
                **(OPTIONS | {"protocol": name}), compute="exact",
            )  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_read_options_fills_in_defaults(method):
    assert read_options("f", method, {}, 30, 90) == METHODS[method]
    with pytest.raises(ArgumentError, match=f"other must be left out with method '{method}'"):
        read_options("f", method, {"other": 1}, 30, 90)
    with pytest.raises(ArgumentError, match="f: k2 must be an integer >= 1"):
        read_options("f", method, {"k2": 0}, 30, 90)
