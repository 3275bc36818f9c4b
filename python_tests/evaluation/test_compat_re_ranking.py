"""compat.re_ranking gives the results of the released function from the same matrices."""

import numpy as np
import pytest
import torch
from reference.reranking import released

from reid_ext.compat import re_ranking


def matrices(q, g, rng, dtype=np.float32):
    x = rng.normal(size=(q + g, 6)) + 2 * rng.normal(size=(8, 6))[rng.integers(0, 8, q + g)]
    d = ((x[:, None] - x[None]) ** 2).sum(2)  # squared, as in most calls
    return [m.astype(dtype) for m in (d[:q, q:], d[:q, :q], d[q:, q:])]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "k1, k2, lambda_value", [(20, 6, 0.3), (5, 1, 0.0), (7, 3, 1), (1, 2, 0.5)]
)
def test_re_ranking_matches_the_released_function(k1, k2, lambda_value, dtype):
    given = matrices(12, 60, np.random.default_rng(0), dtype)
    got = re_ranking(*given, k1=k1, k2=k2, lambda_value=lambda_value)
    assert got.dtype == np.float32 and got.shape == (12, 60)
    want = released(*given, k1, k2, lambda_value)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


def test_re_ranking_uses_all_images_when_k_is_too_large():
    given = matrices(3, 9, np.random.default_rng(1))
    for k1, k2 in [(12, 2), (20, 6), (50, 20), (5, 13)]:
        want = released(*given, k1, k2, 0.3)
        np.testing.assert_allclose(re_ranking(*given, k1, k2, 0.3), want, rtol=0, atol=1e-5)


def test_re_ranking_reads_columns_of_asymmetric_matrices():
    rng = np.random.default_rng(2)
    given = [rng.random(shape) for shape in [(6, 30), (6, 6), (30, 30)]]
    got = re_ranking(*given, k1=5, k2=2)
    np.testing.assert_allclose(got, released(*given, 5, 2, 0.3), rtol=0, atol=1e-5)


def test_re_ranking_squares_negative_distances():
    rng = np.random.default_rng(3)
    given = [m - 1 for m in matrices(5, 30, rng, np.float64)]
    got = re_ranking(*given, k1=5, k2=2)
    np.testing.assert_allclose(got, released(*given, 5, 2, 0.3), rtol=0, atol=1e-5)


def test_re_ranking_keeps_a_column_of_zeros():
    got = re_ranking(np.zeros((2, 4)), np.zeros((2, 2)), np.zeros((4, 4)), k1=5, k2=2)
    np.testing.assert_allclose(got, 0, atol=1e-7)


def test_re_ranking_returns_a_tensor_on_the_same_device(device):
    given = matrices(5, 30, np.random.default_rng(4))
    got = re_ranking(*(torch.from_numpy(m).to(device) for m in given))
    assert got.device.type == device.type
    np.testing.assert_allclose(got.cpu(), re_ranking(*given), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"q_q_dist": np.zeros((3, 4))}, r"q_q_dist must have shape \(3, 3\) .* got \(3, 4\)"),
        ({"g_g_dist": np.zeros((3, 3))}, r"g_g_dist must have shape \(7, 7\) .* got \(3, 3\)"),
        ({"g_g_dist": np.zeros((7, 7), np.float32)}, "g_g_dist must have dtype torch.float64"),
        ({"q_g_dist": np.zeros(3)}, "q_g_dist must have shape"),
        ({"q_g_dist": np.full((3, 7), np.nan)}, "q_g_dist must be finite, got NaN .* in row 0"),
        ({"k1": 0}, "k1 must be an integer >= 1, got 0"),
        ({"k2": 0}, "k2 must be an integer >= 1, got 0"),
        ({"lambda_value": 2}, r"lambda_value must be a finite number >= 0 and <= 1, got 2"),
    ],
)
def test_re_ranking_raises_for_invalid_arguments(change, message):
    given = {"q_g_dist": np.ones((3, 7)), "q_q_dist": np.ones((3, 3)), "g_g_dist": np.ones((7, 7))}
    with pytest.raises(ValueError, match=r"compat\.re_ranking: " + message):
        re_ranking(**given | change)
