"""The torchmetrics metric gives the result of evaluate for any division into batches."""

import pytest
import torch

torchmetrics = pytest.importorskip("torchmetrics")

import processes  # noqa: E402

from reid_ext import evaluate  # noqa: E402
from reid_ext.compat.torchmetrics import ReIDRetrieval  # noqa: E402


def problem():
    torch.manual_seed(0)
    n = 120
    return {
        "features": torch.randint(-2, 3, (n, 4)).float(),
        "identities": torch.randint(0, 9, (n,)),
        "cameras": torch.randint(0, 3, (n,)),
        "is_query": torch.arange(n) < 30,
    }


def direct(p, **options):
    q, g = p["is_query"], ~p["is_query"]
    return evaluate(
        p["features"][q],
        p["features"][g],
        query_ids=p["identities"][q],
        gallery_ids=p["identities"][g],
        query_cameras=p["cameras"][q],
        gallery_cameras=p["cameras"][g],
        **options,
    )


def some(p, rows, **more):
    return {name: values[rows] for name, values in p.items()} | more


def test_batches_give_the_same_as_one_call():
    p = problem()
    metric = ReIDRetrieval(metric="euclidean")
    for rows in torch.arange(120).split(17):
        metric.update(**some(p, rows))
    got, want = metric.compute(), direct(p, metric="euclidean")
    assert got["mAP"] == want.mAP and got["mINP"] == want.mINP
    assert [got[f"rank{k}"] for k in (1, 5, 10, 20)] == [want.rank(k) for k in (1, 5, 10, 20)]
    assert torch.equal(metric.ranking.cmc, want.cmc) and metric.ranking.protocol == want.protocol


def test_duplicate_images_count_once_in_any_order():
    p = problem()
    metric = ReIDRetrieval(metric="euclidean")
    dealt = torch.cat([torch.randperm(120), torch.tensor([5, 77])])
    for rows in dealt.split(25):
        metric.update(**some(p, rows, indices=rows))
    assert metric.compute()["mAP"] == direct(p, metric="euclidean").mAP
    assert metric.ranking.average_precision.shape == (30,)


def test_reset_removes_all_batches():
    p = problem()
    metric = ReIDRetrieval()
    metric.update(**p)
    metric.compute()
    metric.reset()
    assert metric.ranking is None
    with pytest.raises(ValueError, match="update must be called before compute"):
        metric.compute()


def test_is_query_may_be_one_bool_per_batch():
    p = problem()
    metric = ReIDRetrieval(metric="euclidean")
    for flag in (True, False):
        part = some(p, p["is_query"] == flag)
        metric.update(**(part | {"is_query": flag}))
    assert metric.compute()["mAP"] == direct(p, metric="euclidean").mAP


@pytest.mark.parametrize(
    "changed, message",
    [
        (
            {"identities": torch.zeros(3).long()},
            r"identities must have shape \(120,\).* got \(3,\)",
        ),
        ({"identities": None}, "identities must be integers, got object"),
        ({"cameras": torch.zeros(120)}, "cameras must be integers, got torch.float32"),
        ({"is_query": torch.ones(4).bool()}, r"is_query must have shape \(120,\)"),
        (
            {"is_query": torch.ones(120)},
            "is_query must be a bool, .* got torch.float32",
        ),
        ({"is_query": "all"}, "is_query must be a bool, .* got 'all'"),
        ({"indices": torch.zeros(2).long()}, "indices must have shape"),
        ({"features": None}, "features must be float32, float64, .* got object"),
        ({"features": torch.ones(120)}, "features must have shape"),
        ({"features": torch.ones(120, 4).to_sparse()}, "features must be a dense tensor"),
    ],
)
def test_update_raises_for_invalid_arguments(changed, message):
    with pytest.raises(ValueError, match="ReIDRetrieval: " + message):
        ReIDRetrieval().update(**(problem() | changed))


@pytest.mark.parametrize(
    "features, message",
    [
        (torch.ones(120, 5), "feature dimension 4 like the batches before, got 5"),
        (
            torch.ones(120, 4).double(),
            "dtype torch.float32 like the batches before, got",
        ),
    ],
)
def test_update_raises_for_features_of_another_kind(features, message):
    metric = ReIDRetrieval()
    metric.update(**problem())
    with pytest.raises(ValueError, match=message):
        metric.update(**(problem() | {"features": features}))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_rank": 5}, "max_rank must be an integer >= 20, got 5"),
        ({"max_rank": None}, "max_rank must be an integer >= 20, got"),
        ({"protocol": "market"}, "protocol must be one of 'market1501'.* got 'market'"),
        ({"metric": "dot"}, "metric must be one of 'cosine'.* got 'dot'"),
        ({"average_precision": "mean"}, "average_precision must be one of 'step'.* got 'mean'"),
    ],
)
def test_metric_raises_for_invalid_options(options, message):
    with pytest.raises(ValueError, match="ReIDRetrieval: " + message):
        ReIDRetrieval(**options)


def gathered(rank):
    """One of two processes: even images, or odd images and those that the first left out."""
    p = problem()
    metric = ReIDRetrieval(metric="euclidean")
    rows = torch.arange(rank, 120, 2)
    for part in rows[: 60 - 7 * (1 - rank)].split(16):  # of different size
        metric.update(**some(p, part, indices=part))
    if rank == 1:
        last = torch.arange(120 - 16, 120, 2)  # images left out so far, and a duplicate
        metric.update(**some(p, last, indices=last))
    return metric.compute()["mAP"]


@pytest.mark.distributed
@pytest.mark.slow
def test_two_processes_give_the_result_of_one(tmp_path):
    want = direct(problem(), metric="euclidean").mAP
    assert [got.item() for got in processes.run(gathered, 2, tmp_path)] == [want, want]
