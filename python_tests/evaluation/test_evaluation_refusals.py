"""Invalid calls of all functions in reid_ext.evaluation raise errors of the same form."""

import numpy as np
import pytest
import torch

from reid_ext import ArgumentError, evaluate_distances, evaluation
from reid_ext.compat import fastreid, torchreid

IDS = {"query_ids": [1, 2, 3], "gallery_ids": [1, 2, 3, 4]}
LABELS = IDS | {"query_cameras": [1, 1, 1], "gallery_cameras": [2, 2, 2, 2]}
FEATURES = {"query": torch.eye(3, 4), "gallery": torch.eye(4)}
DISTANCES = {"distances": 1 - torch.eye(3, 4)}
SYSU = {"query_ids": [1, 2], "query_cameras": [3, 6], "query": torch.eye(2, 3)}
SYSU |= {"gallery_ids": [2, 1, 1], "gallery_cameras": [1, 2, 4], "gallery": torch.eye(3)}
DRAW = {"gallery_ids": [2, 1, 1], "gallery_cameras": [1, 2, 4]}
THEIRS = {"distmat": np.eye(3, 4), "q_pids": [1, 2, 3], "g_pids": [1, 2, 3, 4]}
THEIRS |= {"q_camids": [1, 1, 1], "g_camids": [2, 2, 2, 2]}

CALLS = {
    "evaluate": (evaluation.evaluate, FEATURES | LABELS),
    "evaluate_distances": (evaluation.evaluate_distances, DISTANCES | LABELS),
    "evaluate_single_shot": (evaluation.evaluate_single_shot, DISTANCES | LABELS),
    "evaluate_regdb": (evaluation.evaluate_regdb, FEATURES | IDS),
    "evaluate_sysu": (evaluation.evaluate_sysu, SYSU),
    "select_galleries": (evaluation.select_galleries, DRAW),
    "verify": (evaluation.verify, FEATURES | LABELS),
    "evaluate_llcm": (evaluation.evaluate_llcm, FEATURES | LABELS | {"galleries": [[0, 1, 2]]}),
    "evaluate_viewpoint": (
        evaluation.evaluate_viewpoint,
        {"features": torch.eye(4), "ids": [1, 1, 2, 2], "cameras": [1, 2, 1, 2], "views": [0] * 4}
        | {"view": 0},
    ),
    "evaluate_sampled_gallery": (
        evaluation.evaluate_sampled_gallery,
        {"features": torch.eye(4), "ids": [1, 1, 2, 2]},
    ),
    "pool_queries": (
        evaluation.pool_queries,
        {"query": torch.eye(3, 4), "query_ids": [1, 2, 3], "query_cameras": [1, 1, 2]},
    ),
    "compat.torchreid.evaluate_rank": (torchreid.evaluate_rank, THEIRS),
    "compat.fastreid.evaluate_rank": (fastreid.evaluate_rank, THEIRS),
}
MATRICES = [  # none is a (3, 4) matrix of numbers
    None,
    "features",
    3,
    np.array(3.0),
    [[1.0], [1.0, 2.0]],
    {"a": 1},
    torch.eye(3, 4).to_sparse(),
    torch.eye(3, 4, device="meta"),
    torch.eye(3, 4).bool(),
    torch.eye(3, 4).to(torch.complex64),
    torch.eye(3, 4).to(torch.float8_e4m3fn),
    [torch.ones(4, requires_grad=True)] * 3,
    np.eye(3, 4).astype(complex),
    np.eye(3, 4).astype(">f4"),
    np.ma.masked_array(np.eye(3, 4), np.eye(3, 4) > 0),
    np.array([[None] * 4] * 3),
    np.empty((3, 0), np.float32),
]
INTEGERS = [  # none is a list of three or four integers
    3,
    "abc",
    torch.tensor(3),
    [1.0, 2.5, 3.0],
    [1, 2, float("nan")],
    [1, None, 3],
    [[1], [1, 2], [3]],
    [True, False, True],
    [object(), 2, 3],
    [1, 2, 2**63],
    [1, 2, 2**70],
    {1: 2},
    torch.ones(3).bool(),
    torch.ones(3).to(torch.complex64),
    torch.ones(3).long().to_sparse(),
    torch.ones(3, device="meta").long(),
    torch.from_numpy(np.array([1, 2, 2**63 + 5], np.uint64)),
    np.ma.masked_array([1, 2, 3], [False, True, False]),
]
WORDS = [1, ["cosine"], np.array(["cosine", "step"]), torch.ones(2), "COSINE", object()]
COUNTS = [0, -1, 2.5, "3", True, np.array([1, 2]), torch.tensor([1, 2]), float("nan"), 2**70]
MASKS = [1, "mask", [[True], [True, False]], np.ones((3, 4)), torch.ones(4, 3).bool(), {}]
MASKS += [torch.ones(3, 4).bool().to_sparse(), torch.ones(3, 4, device="meta").bool()]
MASKS += [lambda pairs: None, lambda pairs: torch.zeros(4).bool()]
RATES = [
    None,
    "abc",
    1,
    [],
    [[0.1]],
    [1j],
    [None],
    [-0.1],
    [1.0],
    [float("nan")],
    torch.zeros(2, 2),
]
PERMUTATIONS = [3, [1], {(1, 1): [[5]]}, {(1, 2): [1]}, {(1, 2): [[1.0]]}, {(1, 2): [[1], [1, 2]]}]
PERMUTATIONS += [{(1, 2): np.empty((2, 0), int)}, {(1, 2): [[1, 1]]}, {(1, 2): [[True]]}]

GALLERIES = [3, "ab", [], [[]], [0, 1], [[0.0]], [[True]], [[4]], [[-1]], [["a"]], [[[0]]]]
GALLERIES += [np.zeros((0, 3), int), np.array(1), torch.ones(2, 3)]

ARGUMENTS = [
    ("features", MATRICES, "evaluate_viewpoint evaluate_sampled_gallery"),
    ("galleries", GALLERIES, "evaluate_llcm"),
    ("view", [None, *COUNTS[2:]], "evaluate_viewpoint"),
    ("seed", [None, *COUNTS[1:]], "evaluate_viewpoint"),
    ("seed", COUNTS[1:], "evaluate_sampled_gallery"),
    ("query", MATRICES, "evaluate evaluate_regdb evaluate_sysu verify pool_queries"),
    ("gallery", MATRICES, "evaluate evaluate_regdb evaluate_sysu verify"),
    ("distances", MATRICES, "evaluate_distances evaluate_single_shot"),
    ("distmat", MATRICES, "compat.torchreid.evaluate_rank compat.fastreid.evaluate_rank"),
    ("query_ids", INTEGERS, "evaluate evaluate_distances evaluate_single_shot pool_queries"),
    ("query_ids", INTEGERS, "evaluate_regdb evaluate_sysu verify"),
    ("query_cameras", INTEGERS, "evaluate evaluate_single_shot evaluate_sysu pool_queries verify"),
    ("gallery_ids", [None, *INTEGERS], "evaluate_sysu select_galleries"),
    ("gallery_cameras", [None, *INTEGERS], "evaluate_sysu select_galleries"),
    ("g_camids", INTEGERS, "compat.torchreid.evaluate_rank compat.fastreid.evaluate_rank"),
    ("metric", WORDS, "evaluate evaluate_single_shot evaluate_sysu verify evaluate_regdb"),
    ("protocol", [None, *WORDS], "evaluate evaluate_distances verify"),
    ("average_precision", WORDS, "evaluate evaluate_single_shot"),
    ("compute", [None, *WORDS], "evaluate evaluate_distances"),
    ("mode", WORDS, "evaluate_sysu select_galleries"),
    ("cmc", WORDS, "evaluate_sysu"),
    ("pooling", [None, *WORDS], "pool_queries"),
    ("max_rank", [None, *COUNTS], "evaluate evaluate_single_shot evaluate_sysu"),
    ("max_rank", [None, *COUNTS], "compat.torchreid.evaluate_rank compat.fastreid.evaluate_rank"),
    ("draws", COUNTS, "evaluate_single_shot"),
    ("seed", COUNTS[1:], "evaluate_single_shot evaluate_sysu"),
    ("trials", COUNTS, "evaluate_sysu select_galleries"),
    ("shots", COUNTS, "evaluate_sysu select_galleries"),
    ("junk", MASKS, "evaluate evaluate_distances"),
    ("candidates", MASKS, "evaluate evaluate_distances"),
    ("false_positive_rates", RATES, "verify"),
]
CASES = [
    (function, argument, value)
    for argument, values, functions in ARGUMENTS
    for function in functions.split()
    for value in values
]


def refused(call, where, argument, **given):
    """The call raises a one-sentence error that names the function and the argument."""
    with pytest.raises(ValueError) as error:
        call(**given)
    message = str(error.value)
    assert message.startswith(f"{where}: ") and argument in message, message
    assert " must " in message and " got " in message and len(message) < 400, message


@pytest.mark.parametrize("function, argument, value", CASES)
def test_functions_raise_for_invalid_arguments(function, argument, value):
    call, given = CALLS[function]
    refused(call, function, argument, **(given | {argument: value}))


@pytest.mark.parametrize("permutations", PERMUTATIONS)
def test_select_galleries_raises_for_missing_groups(permutations):
    given = DRAW | {"gallery_images": [1, 1, 1], "permutations": permutations, "trials": 1}
    whole = {(2, 1): [[1]], (4, 1): [[1]]}
    if isinstance(permutations, dict):
        given["permutations"] = whole | permutations
    refused(evaluation.select_galleries, "select_galleries", "permutations", **given, shots=10)


@pytest.mark.parametrize("value", [0, 11, 1.0, True, "1", np.array([1, 2])])
def test_evaluate_regdb_raises_for_invalid_trials(value):
    refused(evaluation.evaluate_regdb, "evaluate_regdb", "trial", **FEATURES, **IDS, trial=value)


@pytest.mark.parametrize(
    "name, value", [("protocol", "sysu-mm01"), ("query", torch.full((3, 4), torch.nan))]
)
def test_verify_raises_for_unsupported_options(name, value):
    refused(evaluation.verify, "verify", name, **(FEATURES | LABELS | {name: value}))


def test_classic_protocol_raises_for_approximate_compute():
    given = FEATURES | LABELS | {"protocol": "cuhk03-classic", "compute": "bf16"}
    refused(evaluation.evaluate, "evaluate", "compute", **given)


def test_rerank_raises_for_unsupported_options():
    given = FEATURES | LABELS | {"rerank": {"k1": 2, "k2": 1}}
    for compute in ("bf16", "tf32", "nope", None):
        refused(evaluation.evaluate, "evaluate", "compute", **given, compute=compute)
    given["rerank"] = {"top": 2}
    refused(evaluation.evaluate, "evaluate", "rerank", **given)


def ranking():
    return evaluation.evaluate(**FEATURES, **LABELS)


@pytest.mark.parametrize("value", [0, 51, None, "1", 1.5, True, [1], np.array([1, 2])])
def test_rank_raises_for_invalid_k(value):
    refused(ranking().rank, "Ranking.rank", "k", k=value)


@pytest.mark.parametrize("value", [0, -1, "1", 1.5, True, [1], float("nan")])
def test_mean_average_precision_at_raises_for_invalid_k(value):
    refused(ranking().mAP_at, "Ranking.mAP_at", "k", k=value)


@pytest.mark.parametrize("value", [None, [], "abc", 3, [None], torch.ones(3)])
def test_mean_of_trials_raises_for_invalid_trials(value):
    refused(evaluation.mean_of_trials, "mean_of_trials", "trials", trials=value)


@pytest.mark.parametrize("value", [None, 3, "abc", np.array(1)])
def test_bootstrap_raises_for_invalid_ranking(value):
    refused(evaluation.bootstrap, "bootstrap", "ranking", ranking=value)


@pytest.mark.parametrize(
    "name, values",
    [
        ("level", [None, 0, 1, "0.9", [0.9], float("nan"), True]),
        ("resamples", [None, *COUNTS]),
        ("seed", [None, *COUNTS[1:]]),
    ],
)
def test_bootstrap_raises_for_invalid_options(name, values):
    for value in values:
        refused(evaluation.bootstrap, "bootstrap", name, ranking=ranking(), **{name: value})


def test_errors_raised_by_a_rule_are_unchanged():
    def rule(pairs: evaluation.Pairs) -> torch.Tensor:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        evaluation.evaluate(**FEATURES, **LABELS, junk=rule)


def test_classic_protocol_raises_for_rules_or_no_cameras():
    given = FEATURES | LABELS | {"protocol": "cuhk03-classic"}
    refused(evaluation.evaluate, "evaluate", "junk", **given, junk=np.zeros((3, 4), bool))
    given = FEATURES | IDS | {"protocol": "cuhk03-classic"}
    refused(evaluation.evaluate, "evaluate", "query_cameras", **given)


def test_evaluate_error_lists_settings_of_the_protocol():
    with pytest.raises(ValueError, match="mode must be left out with protocol 'regdb', got 'all'"):
        evaluation.evaluate(**FEATURES, **IDS, protocol="regdb", mode="all")
    with pytest.raises(ValueError, match="its settings are: direction, trial, model_trial"):
        evaluation.evaluate(**FEATURES, **IDS, protocol="regdb", query_idss=[1])


def test_evaluate_raises_for_invalid_rerank_argument():
    with pytest.raises(
        ValueError,
        match=r"rerank must be True, False or a mapping of arguments of reid_ext\.rerank",
    ):
        evaluation.evaluate(**FEATURES, **LABELS, rerank="aqe")
    with pytest.raises(ValueError, match=r"rerank must contain only method, k1, .* got top"):
        evaluation.evaluate(**FEATURES, **LABELS, rerank={"top": 2})


def test_evaluate_counts_images_labelled_as_junk_when_nothing_matches():
    with pytest.raises(ArgumentError, match="2 queries and 3 gallery images have identity -1"):
        evaluate_distances(
            torch.rand(2, 4), query_ids=[-1, -1], gallery_ids=[-1, -1, -1, 5], protocol="generic"
        )


def test_evaluate_suggests_the_nearest_name():
    labels = {"query_ids": [1], "gallery_ids": [1]}
    with pytest.raises(ArgumentError, match=r"did you mean 'market1501'\?"):
        evaluate_distances([[0.1]], **labels, protocol="Market-1501")
    with pytest.raises(ArgumentError, match=r"did you mean 'squared_euclidean'\?"):
        evaluate_distances([[0.1]], **labels, protocol="generic", metric="squared-euclidean")


def test_repr_of_a_ranking_is_its_table():
    ranking = evaluate_distances([[0.1]], query_ids=[1], gallery_ids=[1], protocol="generic")
    assert repr(ranking) == str(ranking) and "rank-1" in repr(ranking)
