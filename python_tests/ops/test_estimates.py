"""Worst cases of the bfloat16 estimates: each maximises one term of the error bound.

Every rank must equal that of the full-precision product, which is compared with float64 if the
features are exact. The gallery is ranked in blocks and in memory.
"""

import numpy as np
import pytest
import torch
from ranking_cases import draw, streamed_ranks, whole_ranks
from reference.distances import order_values
from reference.ranking import places

METRICS = ["cosine", "squared_euclidean"]


def check(query, gallery, metric, exact=False, masks=None):
    """Check that estimates give the ranks of full precision, and of float64 if ``exact``."""
    positive, junk = masks or draw(len(query), len(gallery))
    pieces = [gallery[:100], gallery[100:]]
    full = streamed_ranks(query, pieces, positive, junk, metric)
    if exact:
        assert full == places(order_values(query, gallery, metric), positive, junk)
    assert streamed_ranks(query, pieces, positive, junk, metric, "bfloat16") == full
    assert whole_ranks(query, gallery, positive, junk, metric, "bfloat16") == full


def signs(rows, dim):
    """Return rows with as many 1 as -1, which differ in few places."""
    row = torch.tensor([1.0, -1.0]).repeat(dim // 2)
    made = row.repeat(rows, 1)
    for i in range(rows):
        swapped = torch.randperm(dim // 2)[: int(torch.randint(dim // 8, ()))]
        made[i, 2 * swapped], made[i, 2 * swapped + 1] = -1.0, 1.0
    return made


@pytest.mark.parametrize("metric", METRICS)
def test_estimates_cover_rounding_of_a_query(metric):
    """Rounding the query drops all that distinguishes the images: their estimates are equal."""
    check(1 + 0.0019 * signs(20, 128), signs(300, 128), metric)


@pytest.mark.parametrize("metric", METRICS)
def test_estimates_cover_rounding_of_an_image(metric):
    check(signs(20, 128), 1 + 0.0019 * signs(300, 128), metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_estimates_cover_rounding_of_the_estimate(dtype, metric):
    """bfloat16 represents the features exactly, so only the product is rounded."""
    query, gallery = torch.randn(20, 200).relu(), torch.randn(300, 200).relu()
    check(query.bfloat16().to(dtype), gallery.bfloat16().to(dtype), metric)


def test_estimates_cover_rounding_of_integer_products():
    """bfloat16 rounds 257 to 256, an error of half a unit in the last place."""
    ones = torch.tril(torch.ones(600, 600))[150:]  # products of 151 to 600
    check(torch.ones(20, 600), ones[torch.randperm(450)], "squared_euclidean", exact=True)
    query, gallery = (torch.randint(0, 3, (n, 600)).float() for n in (20, 400))
    check(query, gallery, "squared_euclidean", exact=True)


@pytest.mark.parametrize("metric", METRICS)
def test_estimates_cover_the_order_of_summation(metric):
    """Large terms cancel. The order of summation decides whether small terms are lost."""
    gallery = torch.randint(-8, 9, (400, 96)).float()
    for row in gallery:
        place = torch.randperm(96)[:8]
        row[place[:4]], row[place[4:]] = 2.0**26, -(2.0**26)
    check(torch.ones(20, 96), gallery, metric)


def test_estimates_cover_rounding_of_the_image_norm():
    """Image norms are so large that the products only change the last bits of the values."""
    row = 1e4 * (1 + torch.arange(64) / 64)
    gallery = torch.stack([row[torch.randperm(64)] for _ in range(400)])
    one = (
        np.arange(400) == np.arange(16)[:, None]
    )  # with more positives, some would equal every estimate
    query = 0.03 * torch.randn(16, 64)
    check(query, gallery, "squared_euclidean", masks=(one, np.zeros_like(one)))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("of_query", [1e-17, 1e-20, 1e-23, 1e-30, 1e-38, 1e-41, 1.0, 1e17])
@pytest.mark.parametrize("of_image", [1e-17, 1e-20, 1e-23, 1e-30, 1e-38, 1e-41, 1.0, 1e17])
def test_estimates_cover_norms_whose_squares_underflow(of_query, of_image, metric):
    """Squares underflow while products do not, and bfloat16 units flush denormal inputs."""
    check(of_query * torch.randn(10, 48), of_image * torch.randn(200, 48), metric)


@pytest.mark.parametrize("metric", METRICS)
def test_estimates_cover_the_smallest_and_largest_norms(metric):
    query = torch.randn(30, 48) * 10.0 ** torch.randint(-44, 18, (30, 1))
    gallery = torch.randn(400, 48) * 10.0 ** torch.randint(-44, 18, (400, 1))
    check(query, gallery, metric)
    query[:, 5], gallery[:, 5] = 1e-39, 1e17
    check(query, gallery, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [0, 1, 2, 31, 33, 127, 1025])
def test_estimates_match_for_rows_of_any_norm(dim, metric):
    check(torch.randn(20, dim), torch.randn(300, dim), metric)


def test_equal_rows_tie_in_groups_of_any_size():
    """The value of a pair is the same for one pair and for four, at any length and alignment."""
    positive, junk = np.ones((9, 60), bool), np.zeros((9, 60), bool)
    for dim in range(1, 140):
        query, gallery = torch.randn(1, dim).expand(9, -1), torch.randn(3, dim).repeat(20, 1)
        d = order_values(query, gallery[:3], "cosine").repeat(1, 20)
        got = streamed_ranks(query, [gallery], positive, junk, "cosine", "bfloat16")
        assert got == places(d, positive, junk)
        every_third = np.zeros_like(positive)
        every_third[:, ::3] = True  # the other rows are then counted in groups of four
        got = streamed_ranks(query, [gallery], every_third, junk, "cosine", "bfloat16")
        assert got == places(d, every_third, junk)


def test_unknown_estimate_raises():
    query, gallery, masks = torch.randn(3, 4), torch.randn(9, 4), draw(3, 9)
    message = "REID_EXT_CPU_ESTIMATE must be float32 or bfloat16, got int8"
    with pytest.raises(RuntimeError, match=message):
        whole_ranks(query, gallery, *masks, "cosine", "int8")
    with pytest.raises(RuntimeError, match=message):
        streamed_ranks(query, [gallery], *masks, "cosine", "int8")
