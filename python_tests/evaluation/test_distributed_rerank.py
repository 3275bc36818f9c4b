"""Re-ranking, search and joint errors in several processes, compared with one process."""

import processes
import pytest
import torch

from reid_ext import distributed, rerank, search

Q, G, DIM = 61, 530, 8
KINDS = ("float32", "float64", "bfloat16", "whole")  # whole: small integers, which give ties
SHARDS = ("in order", "dealt")
RERANKED = (
    {},
    {"metric": "cosine", "k1": 7, "k2": 1, "lambda_value": 0.5},
    {"top": 9},
    {"gathered": True},
    {"gathered": True, "top": 4, "metric": "euclidean"},
)
SEARCHED = ({}, {"metric": "euclidean"}, {"gathered": True, "metric": "squared_euclidean"})
K = 200  # more than the size of some shards


def features(kind):
    generator = torch.Generator().manual_seed(1)
    if kind == "whole":
        x = torch.randint(-1, 2, (Q + G, 3), generator=generator).float()
    else:
        centres = torch.randn(90, DIM, generator=generator)
        of = torch.randint(90, (Q + G,), generator=generator)
        x = centres[of] + 0.6 * torch.randn(Q + G, DIM, generator=generator)
        x = x.to(getattr(torch, kind))
    return x[:Q], x[Q:]


def rows_of(rank, world_size, how):
    """The queries and images of a process, and the row arguments that it passes."""
    if how == "dealt":  # as by a sampler that pads with duplicate images
        rows = [torch.arange(rank, n + (-n) % world_size, world_size) % n for n in (Q, G)]
        return rows, {"query_rows": rows[0], "gallery_rows": rows[1]}
    parts = world_size - 1  # of different size; the last process has no rows
    return [
        torch.arange(*(min(n, n * r * r // parts**2) for r in (rank, rank + 1))) for n in (Q, G)
    ], {}


def every_case():
    return [(how, kind) for how in SHARDS for kind in KINDS]


def results(rank, world_size):
    torch.set_num_threads(1)
    out = []
    for how, kind in every_case():
        query, gallery = features(kind)
        rows, places = rows_of(rank, world_size, how)
        mine = query[rows[0]], gallery[rows[1]]
        reranked = [distributed.rerank(*mine, **places, **more) for more in RERANKED]
        found = [distributed.search(*mine, K, **places, **more) for more in SEARCHED]
        out.append([rows[0], [list(r) if isinstance(r, tuple) else [r] for r in reranked], found])
    return [out, refusals(rank)]


def refusals(rank):
    """The error messages of this process when only the second passes invalid arguments."""
    query, gallery = features("float32")
    wrong = {
        "metric": {"metric": "dot" if rank == 1 else "cosine"},
        "length": {"gallery": gallery[:, : DIM - (rank == 1)]},
        "places": {"gallery_rows": torch.arange(G) if rank == 1 else None},
        "finite": {"query": query / (rank != 1)},
    }
    said = {}
    for name, change in wrong.items():
        given = {"query": query, "gallery": gallery} | change
        try:
            distributed.rerank(given.pop("query"), given.pop("gallery"), **given)
        except ValueError as error:
            said[name] = str(error)
    return said


@pytest.fixture(scope="module", params=[2, 3, 4])
def in_processes(request, tmp_path_factory):
    return processes.run(results, request.param, tmp_path_factory.mktemp("run"), request.param)


@pytest.fixture(scope="module")
def alone():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    out = {}
    for kind in KINDS:
        query, gallery = features(kind)
        out[kind] = (
            [rerank(query, gallery, **_without(more)) for more in RERANKED],
            [search(query, gallery, K, **_without(more)) for more in SEARCHED],
        )
    torch.set_num_threads(before)
    return out


def _without(options):
    return {name: value for name, value in options.items() if name != "gathered"}


def test_rerank_is_bit_identical_to_one_process(in_processes, alone):
    for case, (_, kind) in enumerate(every_case()):
        for cases, _ in in_processes:
            rows, reranked, _ = cases[case]
            for got, want, more in zip(reranked, alone[kind][0], RERANKED, strict=True):
                wanted = want if isinstance(want, tuple) else [want]
                for part, whole in zip(got, wanted, strict=True):
                    assert torch.equal(part, whole if more.get("gathered") else whole[rows])


def test_search_equals_search_of_one_process(in_processes, alone):
    for case, (_, kind) in enumerate(every_case()):
        for cases, _ in in_processes:
            rows, _, found = cases[case]
            for got, want, more in zip(found, alone[kind][1], SEARCHED, strict=True):
                chosen = slice(None) if more.get("gathered") else rows
                distances, indices = (part[chosen] for part in want)
                # Squared distances are exact up to the rounding of the norms.
                torch.testing.assert_close(got[0], distances, rtol=1e-5, atol=1e-4)
                if kind != "bfloat16" and more:
                    assert torch.equal(got[1], indices)


def test_all_processes_raise_for_invalid_arguments_of_one(in_processes):
    for rank, (_, said) in enumerate(in_processes):
        assert set(said) == {"metric", "length", "places", "finite"}
        where = "distributed.rerank: "
        assert said["places"].startswith(where + "gallery must have gallery_rows in every")
        own = {"metric": "metric must be one of", "length": "gallery must have feature dimension 8"}
        own["finite"] = "query must be finite"
        others = "arguments must be valid in every process, got an error in process 1"
        for name, message in own.items():
            assert said[name].startswith(where + (message if rank == 1 else others))


def test_rerank_and_search_work_without_a_process_group():
    query, gallery = features("float32")
    assert torch.equal(distributed.rerank(query, gallery), rerank(query, gallery))
    near, want = distributed.rerank(query, gallery, top=3), rerank(query, gallery, top=3)
    assert torch.equal(near.distances, want.distances) and torch.equal(near.indices, want.indices)
    for got, one in zip(
        distributed.search(query, gallery, 5), search(query, gallery, 5), strict=True
    ):
        assert torch.equal(got, one)


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"query": torch.ones(3, 4).long()}, "query must be float32, .* got torch.int64"),
        ({"gallery": torch.ones(4)}, r"gallery must have shape \(N, D\) with .*, got shape \(4,\)"),
        ({"k1": 7}, "k1 must be .* at most 6 .*other images.*, got 7"),
        ({"top": 5}, "top must be .* at most 4 .*images.*, got 5"),
        ({"lambda_value": 2}, r"lambda_value must be a finite number >= 0 and <= 1, got 2"),
        ({"query_rows": [0, 1]}, r"query_rows must have shape \(3,\)"),
    ],
)
def test_rerank_raises_for_invalid_arguments(changed, message):
    given = {"query": torch.randn(3, 4), "gallery": torch.randn(4, 4), "k1": 2} | changed
    with pytest.raises(ValueError, match="distributed.rerank: " + message):
        distributed.rerank(given.pop("query"), given.pop("gallery"), **given)


def test_search_raises_when_k_exceeds_the_gallery():
    with pytest.raises(ValueError, match=r"distributed.search: k must be .* at most 4 .*, got 5"):
        distributed.search(torch.randn(3, 4), torch.randn(4, 4), 5)
