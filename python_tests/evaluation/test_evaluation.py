"""Protocols and metrics against hand counts and a NumPy reference, and all error messages."""

import numpy as np
import pytest
import torch
from reference.distances import distances
from reference.exact import whole
from reference.ranking import ranked_pairs, same_pairs, scores

from reid_ext.evaluation import Ranking, evaluate, evaluate_distances

PROTOCOLS = ["market1501", "dukemtmc-reid", "cuhk03-np", "msmt17", "veri776", "generic"]


def one_query(matches, distances=None, **options):
    """Evaluate one query; its gallery is given nearest first: "+" for a match, "-" for others."""
    ids = [1 if m == "+" else 2 for m in matches]
    distances = [list(range(len(ids)))] if distances is None else [distances]
    return evaluate_distances(
        torch.tensor(distances, dtype=torch.float64),
        query_ids=[1],
        gallery_ids=ids,
        protocol="generic",
        **options,
    )


# Counted by hand: matches at ranks 2, 3 and 5 of 6.
def test_average_precision_step():
    assert one_query("-++-+-").mAP == pytest.approx((1 / 2 + 2 / 3 + 3 / 5) / 3)


def test_average_precision_trapezoid():
    before = (0 / 1, 1 / 2, 2 / 4)  # precision one rank before each match
    want = ((1 / 2 + before[0]) + (2 / 3 + before[1]) + (3 / 5 + before[2])) / 2 / 3
    assert one_query("-++-+-", average_precision="trapezoid").mAP == pytest.approx(want)


def test_average_precision_trapezoid_starts_at_precision_1():
    got = one_query("+-+", average_precision="trapezoid").mAP
    assert got == pytest.approx(((1 + 1) + (2 / 3 + 1 / 2)) / 2 / 2)


def test_inverse_negative_penalty():
    assert one_query("-++-+-").mINP == pytest.approx(3 / 5)


def test_cmc_counts_the_first_match():
    assert one_query("-++-+-", max_rank=4).cmc.tolist() == [0, 1, 1, 1]


def test_cmc_repeats_last_value_beyond_the_gallery():
    assert one_query("--+", max_rank=7).cmc.tolist() == [0, 0, 1, 1, 1, 1, 1]


def test_ties_are_ordered_by_gallery_index():
    tied = one_query("-+-+", distances=[0.5, 0.5, 0.5, 0.5])
    assert tied.mAP == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_nan_ranks_last_ordered_by_gallery_index():
    nan, inf = float("nan"), float("inf")
    got = one_query("+-+-", distances=[nan, nan, inf, 3.0])  # ranks 3, 4, 2, 1
    assert got.mAP == pytest.approx((1 / 2 + 2 / 3) / 2)


# Gallery in rank order: identity, camera. The query is identity 1, camera 1.
JUNK = {
    "ids": [1, -1, 0, 2, 1, 1, 3, 1],
    "cameras": [1, 2, 1, 1, 2, 1, 2, 3],
}


@pytest.mark.parametrize(
    "protocol, ranks",
    [
        ("generic", [1, 4, 5, 7]),  # without row 1, identity -1; the distractor stays
        ("dukemtmc-reid", [3, 5]),  # also without rows 0 and 5
        ("cuhk03-np", [3, 5]),
        ("msmt17", [3, 5]),
        ("veri776", [3, 5]),
        ("market1501", [3, 5]),
    ],
)
def test_junk_of_each_protocol(protocol, ranks, device):
    labels = {
        "query_ids": [1],
        "gallery_ids": JUNK["ids"],
        "query_cameras": [1],
        "gallery_cameras": JUNK["cameras"],
        "protocol": protocol,
    }
    distances = torch.arange(8.0, device=device)[None]
    angle = distances / 8
    features = torch.stack([angle.cos(), angle.sin()], dim=-1)
    want = np.mean([(j + 1) / rank for j, rank in enumerate(ranks)])
    for got in (
        evaluate_distances(distances, **labels),
        evaluate(features[0, :1], features[0], **labels),
    ):
        assert got.mAP == pytest.approx(want)
        assert got.mINP == pytest.approx(len(ranks) / ranks[-1])
        assert got.cmc[ranks[0] - 1] == 1 and got.cmc[: ranks[0] - 1].sum() == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_queries_of_another_precision_are_promoted(dtype):
    x = torch.randn(40, 16, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(40) // 4
    labels = {"query_ids": ids[:20], "gallery_ids": ids, "protocol": "generic"}
    q = x[:20].to(dtype)
    wide = torch.promote_types(dtype, torch.float32)
    got, want = evaluate(q, x, **labels), evaluate(q.to(wide), x.to(wide), **labels)
    assert got.mAP == want.mAP and got.protocol.dtype == str(wide).removeprefix("torch.")


@pytest.mark.parametrize("protocol", ["market1501", "msmt17", "generic"])
def test_queries_labelled_as_junk_have_no_match(protocol):
    cameras = {"query_cameras": [1, 1], "gallery_cameras": [2, 2, 2], "protocol": protocol}
    got = evaluate(
        torch.eye(3)[:2], torch.eye(3), query_ids=[-1, 1], gallery_ids=[-1, 1, 2], **cameras
    )
    assert got.num_valid == 1 and got.unmatched.junk == 1 and got.unmatched.no_image == 0
    assert "1 labelled as junk (identity -1)" in str(got) and got.protocol.ignored == 1


def test_query_without_match_does_not_count():
    got = evaluate_distances(
        [[0.1, 0.2], [0.1, 0.2], [0.2, 0.1]],
        query_ids=[1, 7, 2],
        gallery_ids=[1, 2],
        query_cameras=[1, 1, 2],  # the match of the last query is from its own camera
        gallery_cameras=[2, 2],
    )
    assert got.num_valid == 1 and got.mAP == 1 and got.rank(1) == 1
    assert got.average_precision.isnan().tolist() == [False, True, True]
    assert got.inverse_negative_penalty.isnan().tolist() == [False, True, True]


def problem(queries, gallery, identities, device, dtype=torch.float32, dim=5):
    """Integer features, which give many ties and exact distances."""
    q, g = (whole(n, dim, device, dtype) for n in (queries, gallery))
    labels = {
        "query_ids": torch.randint(0, identities, (queries,)),
        "gallery_ids": torch.randint(-1, identities, (gallery,)),
        "query_cameras": torch.randint(0, 3, (queries,)),
        "gallery_cameras": torch.randint(0, 3, (gallery,)),
    }
    return q, g, labels


def squared_distances(q, g):
    return distances(q.double().cpu(), g.double().cpu(), "squared_euclidean").numpy()


def assert_equals_reference(got, distances, labels, protocol, trapezoid=False):
    same = same_pairs(labels["query_ids"], labels["gallery_ids"])
    ranked, counting = ranked_pairs(protocol, **labels), {"trapezoid": trapezoid}
    cmc, ap, inp = scores(distances, same, ranked, max_rank=len(got.cmc), **counting)
    np.testing.assert_allclose(got.cmc, cmc)
    np.testing.assert_allclose(got.average_precision, ap)
    np.testing.assert_allclose(got.inverse_negative_penalty, inp)
    assert got.mAP == pytest.approx(np.nanmean(ap)) and got.mINP == pytest.approx(np.nanmean(inp))
    assert got.num_valid == np.isfinite(ap).sum()
    assert got.cmc.dtype == got.average_precision.dtype == torch.float64


@pytest.mark.parametrize("average_precision", ["step", "trapezoid"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("queries, gallery, identities", [(1, 9, 1), (40, 230, 12), (65, 700, 90)])
def test_evaluate_matches_reference(
    queries, gallery, identities, protocol, average_precision, device
):
    q, g, labels = problem(queries, gallery, identities, device)
    options = {"protocol": protocol, "average_precision": average_precision}
    distances = squared_distances(q, g)
    by_features = evaluate(q, g, metric="squared_euclidean", **labels, **options)
    by_distances = evaluate_distances(torch.tensor(distances, device=device), **labels, **options)
    trapezoid = average_precision == "trapezoid"
    for got in (by_features, by_distances):
        assert_equals_reference(got, distances, labels, protocol, trapezoid)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("metric", ["cosine", "euclidean", "squared_euclidean"])
def test_evaluate_supports_every_metric_and_dtype(metric, dtype, device):
    q, g, labels = problem(30, 200, 10, device, dtype, dim=64)
    q, g = (
        torch.where(t > 0, 1, -1).to(dtype) for t in (q, g)
    )  # norm is sqrt(8): cosines are exact
    got = evaluate(q, g, metric=metric, **labels)
    assert_equals_reference(got, squared_distances(q, g), labels, "market1501")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_evaluate_distances_supports_every_dtype(dtype, device):
    q, g, labels = problem(20, 100, 10, device)
    distances = squared_distances(q, g)
    got = evaluate_distances(torch.tensor(distances, device=device).to(dtype), **labels)
    assert_equals_reference(got, distances, labels, "market1501")


@pytest.mark.parametrize("protocol", ["generic", "cuhk03-classic"])
def test_autocast_does_not_round_distances(protocol, device):
    query, gallery = torch.ones(1, 2, device=device), torch.ones(9, 2, device=device)
    gallery[:, 1] += torch.linspace(
        5e-2, 0, 9, device=device
    )  # these cosines are equal in bfloat16
    labels = {"query_ids": [1], "gallery_ids": list(range(9, 0, -1)), "protocol": protocol}
    labels |= {"query_cameras": [1], "gallery_cameras": [2] * 9}
    with torch.autocast(device.type, torch.bfloat16):
        assert evaluate(query, gallery, **labels).rank(1) == 1


def test_evaluate_accepts_tensors_arrays_maps_and_lists(tmp_path):
    q, g, labels = problem(12, 80, 6, "cpu")
    metric = "squared_euclidean"  # exact for integers in any order of summation
    want = evaluate(q, g, metric=metric, **labels).average_precision
    np.save(tmp_path / "gallery.npy", g.numpy())
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    arrays = {name: values.numpy().astype(np.int16) for name, values in labels.items()}
    lists = {name: values.tolist() for name, values in labels.items()}
    for query, gallery, kind in (
        (q.numpy(), mapped, arrays),
        (q.numpy()[:, ::-1], g.numpy()[:, ::-1], lists),
        (q.tolist(), g.tolist(), {name: values.int() for name, values in labels.items()}),
        (q.t().contiguous().t(), g.requires_grad_(), labels),
    ):
        got = evaluate(query, gallery, metric=metric, **kind).average_precision
        torch.testing.assert_close(got, want, equal_nan=True)


def test_ignored_images_do_not_change_order_of_ties():
    ids = [-1, 2, 1, -1, 1, 2]
    got = evaluate_distances(
        np.zeros((1, 6)),
        query_ids=[1],
        gallery_ids=ids,
        query_cameras=[1],
        gallery_cameras=[2] * 6,
    )
    assert got.mAP == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert "1 queries x 4 gallery images (2 ignored)" in str(got.protocol)


def test_ranking_prints_a_table():
    got = one_query("-++-+-")
    names, values, *_ = str(got).splitlines()
    assert names.split() == ["rank-1", "rank-5", "rank-10", "rank-20", "mAP", "mINP"]
    assert values.split()[:2] == ["0.00%", "100.00%"]
    assert "generic: junk none; ties broken by gallery index" in str(got)
    assert isinstance(got, Ranking) and got.trials == []


def test_rank_raises_beyond_max_rank():
    with pytest.raises(ValueError, match=r"k must be .* at most 5 \(max_rank\), got 6"):
        one_query("+", max_rank=5).rank(6)


def arguments(**changed):
    base = {
        "query": torch.eye(3, 4),
        "gallery": torch.eye(4),
        "query_ids": [1, 2, 3],
        "gallery_ids": [1, 2, 3, 4],
        "query_cameras": [1, 1, 1],
        "gallery_cameras": [2, 2, 2, 2],
    }
    return {**base, **changed}


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"query": torch.ones(3)}, r"query must have shape .* got shape \(3,\)"),
        ({"gallery": torch.ones(0, 4)}, r"gallery must have shape .* got shape \(0, 4\)"),
        ({"gallery": torch.ones(4, 5)}, "gallery must have feature dimension 4 like query, got 5"),
        (
            {"gallery": torch.eye(4, device="meta")},
            "gallery must be a tensor with values, got a meta",
        ),
        ({"gallery": torch.eye(4).long()}, "gallery must be float32.* got torch.int64"),
        ({"gallery": np.eye(4, dtype=int)}, "gallery must be float32.* got int64"),
        ({"gallery": [[1.0], [1.0, 2.0]]}, "gallery must be convertible to a NumPy array"),
        ({"query_ids": [1, 2]}, r"query_ids must have shape \(3,\), one for each row of query"),
        ({"gallery_ids": [[1, 2, 3, 4]]}, r"gallery_ids must have shape \(4,\).*got \(1, 4\)"),
        ({"query_ids": [1.0, 2.5, 3.0]}, "query_ids must be integers, .* got 2.5 in row 1"),
        ({"query_ids": torch.ones(3).half()}, "query_ids must be integers, got torch.float16"),
        ({"gallery_ids": ["7", "007", "a", "b"]}, "gallery_ids must spell each number in one way"),
        ({"query_cameras": None}, "query_cameras must be given for protocol 'market1501'"),
        ({"gallery_cameras": None}, "gallery_cameras must be given .* use protocol 'generic'"),
        ({"gallery_cameras": [2, 2]}, r"gallery_cameras must have shape \(4,\)"),
        ({"protocol": "market"}, "protocol must be one of 'market1501', .*got 'market'"),
        ({"metric": "dot"}, "metric must be one of 'cosine', .*got 'dot'"),
        ({"average_precision": "mean"}, "average_precision must be one of 'step', 'trapezoid'"),
        ({"max_rank": 0}, "max_rank must be an integer >= 1, got 0"),
        ({"max_rank": 5.0}, "max_rank must be an integer >= 1, got 5.0"),
        ({"compute": "bfloat16"}, "compute must be one of 'exact', 'bf16', 'tf32', got 'bfloat16'"),
        (
            {"gallery_ids": [5, 5, 6, -1]},
            "share an identity with query_ids, got 3 identities in 3 queries and 2 identities in 3",
        ),
        (
            {"gallery_cameras": [1, 1, 1, 1]},
            "got 3 pairs with the same identity, all of which are junk because .* query's camera",
        ),
    ],
)
def test_evaluate_raises_for_invalid_arguments(changed, message):
    given = arguments(**changed)
    with pytest.raises(ValueError, match=message) as refused:
        evaluate(given.pop("query"), given.pop("gallery"), **given)
    assert str(refused.value).startswith("evaluate: ")


def test_evaluate_distances_raises_for_wrong_shape():
    given = arguments()
    del given["query"], given["gallery"]
    with pytest.raises(ValueError, match=r"evaluate_distances: query_ids must have shape \(5,\)"):
        evaluate_distances(np.ones((5, 4)), **given)


def test_evaluate_distances_takes_keywords_of_evaluate():
    distances = torch.rand(3, 5)
    ids = {"query_ids": [0, 1, 2], "gallery_ids": [0, 1, 2, 0, 1], "protocol": "generic"}
    got = evaluate_distances(distances, **ids, metric="euclidean", compute="exact")
    assert got.mAP == evaluate_distances(distances, **ids).mAP
    assert "; euclidean; " in str(got.protocol)
    with pytest.raises(ValueError, match="evaluate_distances: metric must be"):
        evaluate_distances(distances, **ids, metric="angle")
    with pytest.raises(ValueError, match="evaluate_distances: compute must be"):
        evaluate_distances(distances, **ids, compute="bf16")
