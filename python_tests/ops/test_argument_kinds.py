"""Equivalent argument types give the same results as plain tensors and numbers."""

import warnings

import numpy as np
import pytest
import torch

from reid_ext import ArgumentError, evaluation, ops

RNG = np.random.default_rng(0)
QUERY, GALLERY = (RNG.standard_normal((n, 6)).astype(np.float32) for n in (7, 23))
LABELS = {"query_ids": [0, 1, 2, 3, 0, 1, 2], "gallery_ids": [i % 5 for i in range(23)]}
CAMERAS = {"query_cameras": [3] * 7, "gallery_cameras": [1 + i // 5 % 2 for i in range(23)]}
MASK = RNG.random((7, 23)) < 0.2


class Table:
    """Behaves like a data frame: iterating over it yields the names of the columns."""

    def __init__(self, array):
        self.array = array
        self.shape, self.ndim = array.shape, array.ndim

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __iter__(self):
        return iter(["a", "b"])


def field(array):
    """Return the same numbers as a field of a record array, with strides that no tensor has."""
    records = np.zeros(len(array), [("camera", "i1"), ("features", array.dtype, array.shape[1:])])
    records["features"] = array
    return records["features"]


@pytest.mark.parametrize("kind", [Table, field])
def test_evaluate_accepts_tables_and_record_fields_as_features(kind):
    want = evaluation.evaluate(QUERY, GALLERY, **LABELS, **CAMERAS)
    got = evaluation.evaluate(kind(QUERY), kind(GALLERY), **LABELS, **CAMERAS)
    assert got.to_dict() == want.to_dict()
    blocks = [kind(GALLERY[:9]), kind(GALLERY[9:])]
    assert evaluation.evaluate(QUERY, blocks, **LABELS, **CAMERAS).mAP == want.mAP
    nearest = evaluation.search(torch.from_numpy(QUERY), kind(GALLERY), 4)
    assert torch.equal(nearest[1], evaluation.search(QUERY, GALLERY, 4)[1])


@pytest.mark.parametrize("kind", [Table, field, lambda mask: lambda pairs: Table(mask)])
def test_evaluate_accepts_tables_and_record_fields_as_masks(kind):
    given = QUERY @ GALLERY.T, {**LABELS, **CAMERAS}
    want = evaluation.evaluate_distances(given[0], **given[1], junk=MASK, candidates=~MASK)
    got = evaluation.evaluate_distances(
        given[0], **given[1], junk=kind(MASK), candidates=kind(~MASK)
    )
    assert got.to_dict() == want.to_dict()


@pytest.mark.parametrize("max_rank", [np.uint8(255), np.uint8(254), np.int8(127)])
def test_max_rank_accepts_small_integer_types(max_rank):
    given = {**LABELS, **CAMERAS, "max_rank": max_rank}
    plain = given | {"max_rank": int(max_rank)}
    distances = QUERY @ GALLERY.T
    sysu = {"shots": 1, "trials": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as warnings of integer overflow
        for got, want in (
            (evaluation.evaluate(QUERY, GALLERY, **of) for of in (given, plain)),
            (evaluation.evaluate_single_shot(distances, **of) for of in (given, plain)),
            (evaluation.evaluate_sysu(QUERY, GALLERY, **of, **sysu) for of in (given, plain)),
        ):
            assert len(got.cmc) == max_rank and torch.equal(got.cmc, want.cmc)


def test_seed_accepts_numpy_integers():
    ranking = evaluation.evaluate(QUERY, GALLERY, **LABELS, **CAMERAS)
    views = {"ids": LABELS["gallery_ids"], "cameras": CAMERAS["gallery_cameras"]}
    views |= {"views": [i % 3 for i in range(23)]}
    calls = (
        lambda n: evaluation.bootstrap(ranking, resamples=n(9), seed=n(5)).mAP.low,
        lambda n: evaluation.evaluate_single_shot(
            QUERY @ GALLERY.T, **LABELS, **CAMERAS, draws=n(4), seed=n(5)
        ).rank(1),
        lambda n: (
            evaluation.evaluate_viewpoint(GALLERY, **views, view=n(1), splits=n(3), seed=n(5)).mAP
        ),
        lambda n: (
            evaluation.evaluate_sampled_gallery(
                GALLERY, ids=views["ids"], trials=n(3), seed=n(5)
            ).mAP
        ),
    )
    for call in calls:
        assert call(int) == call(np.int64) == call(np.uint8)


@pytest.mark.parametrize("options", [{"protocol": "cuhk03-classic"}, {"rerank": {"k1": 5}}])
def test_blocks_are_joined_when_the_whole_matrix_is_needed(options):
    want = evaluation.evaluate(QUERY, GALLERY, **LABELS, **CAMERAS, **options)
    for blocks in ([GALLERY[:9], GALLERY[9:]], (torch.from_numpy(GALLERY[:9]), GALLERY[9:])):
        got = evaluation.evaluate([QUERY], blocks, **LABELS, **CAMERAS, **options)
        assert got.to_dict() == want.to_dict()


def test_query_blocks_are_joined_under_autocast():
    query, gallery = torch.from_numpy(QUERY).bfloat16(), torch.from_numpy(GALLERY).bfloat16()
    want = evaluation.evaluate(query, gallery, **LABELS, **CAMERAS)
    with torch.autocast("cpu", torch.float16):
        got = evaluation.evaluate([query[:3], query[3:]], gallery, **LABELS, **CAMERAS)
    assert got.to_dict() == want.to_dict()


Y = np.array([0, 0, 1, 1, 2])


@pytest.mark.parametrize(
    "labels",
    [
        Y.astype(">i4"),
        Y[::-1].copy()[::-1],
        np.broadcast_to(Y, Y.shape),  # read-only
        field(Y),
        Table(Y),
        torch.tensor(Y).to(torch.uint16),
        tuple(Y),
    ],
)
def test_ops_accept_labels_of_every_type(labels):
    x = torch.from_numpy(GALLERY[:5])
    want = ops.mine_hardest(x, torch.from_numpy(Y))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = ops.mine_hardest(x, labels, keys=x + 1, key_labels=labels)
        assert torch.equal(ops.mine_hardest(x, labels).negative, want.negative)
    assert got.positive.tolist() == [
        int(p) for p in ops.mine_hardest(x, Y, keys=x + 1, key_labels=Y).positive
    ]


X, META = torch.ones(3, 4), torch.ones(3, 4, device="meta")
LISTS = ops.Lists(torch.tensor([0, 1, 2, 3]), torch.tensor([0, 1, 2]))
NONE = ops.Lists(torch.zeros(4).long(), torch.zeros(0).long())


@pytest.mark.parametrize(
    "call, argument, direct",
    [
        (lambda: ops.cosine_matrix(X, META), "cosine_matrix: y", False),
        (lambda: ops.fidi_loss(X, META[:, 0].long()), "fidi_loss: labels", False),
        (lambda: ops.mine_hardest(X, [0, 0, 1], keys=META, key_labels=[0, 0, 1]), ": keys", False),
        (lambda: ops.expat_loss(X, META[:, 0].long()), "expat_loss: labels", False),
        (lambda: ops.expat_triplet_loss(X, META, X), "expat_triplet_loss: positive", False),
        (
            lambda: ops.viewpoint_loss(X, [0, 1, 1], META[:, 0].long(), num_views=2),
            ": views",
            False,
        ),
        (lambda: ops.nearest(X, 2, keys=META), "nearest: keys", False),
        (lambda: ops.k_reciprocal(X, META, k1=2, k2=1), "k_reciprocal: gallery", False),
        (lambda: ops.rank_positives(X, META, LISTS, NONE), "rank_positives: gallery", False),
        (lambda: torch.ops.reid_ext.cosine_matrix(X, META, False), "cosine_matrix: y", True),
    ],
)
def test_ops_raise_when_one_input_is_a_meta_tensor(call, argument, direct):
    """Otherwise the result would be uninitialised memory."""
    kind = RuntimeError if direct else ValueError
    with pytest.raises(kind, match=f"{argument} must be on cpu like .*, got meta"):
        call()
    assert ops.cosine_matrix(META).shape == (3, 3)


@pytest.mark.parametrize("value", [None, "0.5", [0.5], np.array([0.5, 0.5]), 1j])
@pytest.mark.parametrize(
    "call, argument",
    [
        (lambda v: ops.k_reciprocal(X, X, k1=2, k2=1, lambda_value=v), "lambda_value must be a"),
        (
            lambda v: ops.jaccard(X, k1=2, k2=1, max_distance=v),
            "max_distance must be a finite",
        ),
        (lambda v: ops.fidi_loss(X, [0, 0, 1], normalize=v), "normalize must be True or False"),
    ],
)
def test_ops_raise_for_numbers_and_flags_of_other_types(call, argument, value):
    with pytest.raises(ArgumentError, match=rf"^\w+: {argument}"):
        call(value)


@pytest.mark.parametrize("value", [np.array(["cosine"]), np.array(["cosine", "euclidean"]), ["x"]])
def test_ops_raise_for_choices_that_are_not_strings(value):
    with pytest.raises(ArgumentError, match="mine_hardest: metric must be one of 'cosine', "):
        ops.mine_hardest(X, [0, 0, 1], metric=value)
    with pytest.raises(ArgumentError, match="variant must be one of 'paper', 'released', got"):
        ops.adaptive_label_smoothing_loss(X, [0, 0, 1], variant=value)
