"""Labels as other programs write them: converted if nothing is lost, otherwise an error."""

import numpy as np
import pytest
import torch

from reid_ext import ArgumentError, FeatureSet, evaluate

FEATURES = np.eye(3, dtype=np.float32)


def identities(values):
    return FeatureSet(FEATURES, identities=values).identities.tolist()


@pytest.mark.parametrize(
    "values",
    [
        [7, 8, -1],
        [7.0, 8.0, -1.0],
        np.array([7, 8, -1], np.float32),
        np.array([7, 8, -1], ">i4"),
        np.array([7, 8, -1], ">f8"),
        np.array([[7], [8], [-1]]),
        torch.tensor([7.0, 8.0, -1.0]),
        torch.tensor([[7], [8], [-1]], dtype=torch.int16),
        ["7", "8", "-1"],
        ["0007", "0008", "-1"],
        ["7.0", "8.0", "unknown"],
        np.array(["7", "8", ""], object),
        np.array([b"7", b"8", b"nan"]),
    ],
)
def test_labels_without_loss_are_converted(values):
    assert identities(values) == [7, 8, -1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([7, 8.5, 9], "got 8.5 in row 1"),
        ([7, float("nan"), 9], "got nan in row 1"),
        ([7.0, 2.0**53, 9], "got 9.0072e.15 in row 1"),
        (np.array([7, 2**24, 9], np.float32), "below 16777216, got 1.67772e.07 in row 1"),
        (torch.tensor([7.0, 8.0, 9.0]).half(), "be integers, got torch.float16"),
        (np.array([7, 255, 9], np.uint8), "not hold 255, .* looks in uint8"),
        (np.array([7, 65535, 9], np.uint16), "not hold 65535.*convert to int64"),
        (torch.tensor([7, 255, 9], dtype=torch.uint8), "not hold 255"),
        ([True, False, True], "be integers, got bool"),
        (["7", "007", "8"], "spell each number in one way, got '007' and '7'"),
        ([7, None, 9], "be integers, got object"),
    ],
)
def test_labels_with_loss_raise(values, message):
    with pytest.raises(ArgumentError, match=f"FeatureSet: identities must .*{message}"):
        identities(values)


def test_names_are_the_same_identity_in_every_set():
    first, second = identities(["anna", "bert", "anna"]), identities(["carl", "anna", "9" * 30])
    assert first[0] == first[2] == second[1]
    assert len({*first, *second}) == 4 and min(*first, *second) >= 2**62


def test_evaluate_takes_names_as_identities_and_cameras():
    ranking = evaluate(
        FEATURES,
        FEATURES,
        query_ids=["anna", "bert", "carl"],
        gallery_ids=["anna", "bert", "carl"],
        query_cameras=["A"] * 3,
        gallery_cameras=["B"] * 3,
    )
    assert ranking.rank(1) == 1 and ranking.num_valid == 3


def test_views_may_not_be_words():
    with pytest.raises(ArgumentError, match="views must be integers"):
        FeatureSet(FEATURES, views=["front"] * 3)
