"""Nearest keys of every row: comparison with a stable sort, and errors."""

import pytest
import torch
from reference.distances import distances
from reference.exact import whole

from reid_ext import ops

METRICS = ["cosine", "euclidean", "squared_euclidean"]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n, m, count", [(0, 5, 2), (1, 1, 1), (9, 33, 33), (40, 200, 7)])
def test_nearest_matches_a_sort(n, m, count, metric, device):
    x, keys = (torch.randn(rows, 6, device=device, dtype=torch.float64) for rows in (n, m))
    want = distances(x, keys, metric).cpu().sort(dim=1, stable=True)
    got = ops.nearest(x, count, keys=keys, metric=metric)
    assert torch.equal(got.indices.cpu(), want.indices[:, :count])
    torch.testing.assert_close(got.distances.cpu(), want.values[:, :count], rtol=0, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n, count", [(1, 1), (70, 5), (700, 31)])
def test_nearest_compares_rows_with_each_other_without_keys(n, count, metric, device):
    x = torch.randn(n, 6, device=device, dtype=torch.float64)
    want = distances(x, x, metric).cpu().sort(dim=1, stable=True)
    got = ops.nearest(x, count, metric=metric)
    assert torch.equal(got.indices.cpu(), want.indices[:, :count])
    # The distance of a row to itself is a difference of products of size |x|^2. Its root has the
    # largest error.
    torch.testing.assert_close(got.distances.cpu(), want.values[:, :count], rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("own", [True, False])
def test_nearest_orders_equal_distances_by_index(own, dtype, device):
    x, keys = whole(150, 4, device, dtype), whole(600, 4, device, dtype)
    keys = x if own else keys
    want = distances(x, keys, "squared_euclidean").cpu().sort(dim=1, stable=True)
    got = ops.nearest(x, 40, keys=None if own else keys, metric="squared_euclidean")
    assert torch.equal(got.indices.cpu(), want.indices[:, :40])
    assert torch.equal(got.distances.cpu().double(), want.values[:, :40])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [*range(20, 28), 65, 67, *range(191, 198), 257, 385, 386, 387, 388])
def test_nearest_orders_copies_by_index_for_every_number_of_rows(n, dtype):
    x = torch.randn(n, 33, dtype=dtype)
    copies = torch.arange(0, n, 5)
    x[copies] = x[0].clone()
    x[-1] = x[0]  # in the last, incomplete tile
    copies = torch.cat([copies, torch.tensor([n - 1])]).unique()
    for keys in (None, x.clone()):
        got = ops.nearest(x, len(copies), keys=keys, metric="squared_euclidean").indices
        assert torch.equal(got[copies], copies.expand(len(copies), -1))


def test_nearest_accepts_keys_in_any_order_of_distance(device):
    line = torch.arange(2000, device=device, dtype=torch.float64)[:, None]
    for keys in (line, line.flip(0)):  # every key enters the list, or the first ones only
        got = ops.nearest(line[:3], 20, keys=keys, metric="euclidean")
        want = distances(line[:3], keys, "euclidean").cpu().sort(dim=1, stable=True)
        assert torch.equal(got.indices.cpu(), want.indices[:, :20])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_nearest_ranks_non_finite_keys_last(value, device):
    keys = torch.randn(50, 3, device=device)
    keys[[4, 9]] = value
    got = ops.nearest(torch.randn(5, 3, device=device), 50, keys=keys)
    assert got.indices[:, -2:].tolist() == [[4, 9]] * 5
    assert got.distances[:, -2:].isnan().all() and got.distances[:, :-2].isfinite().all()


def test_nearest_is_registered_correctly(device):
    x, op = torch.randn(9, 3, device=device), torch.ops.reid_ext.nearest.default
    torch.library.opcheck(op, (x, None, 3, 0))
    torch.library.opcheck(op, (x, x[:5], 5, 1))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"count": 0}, "count must be from 1 to the 7 keys, got 0"),
        ({"count": 8}, "count must be from 1 to the 7 keys, got 8"),
        ({"x": torch.zeros(3)}, r"x must have shape \(N, D\), got \(3,\)"),
        ({"keys": torch.zeros(7, 5)}, r"keys must have shape \(7, 4\) .* x, got \(7, 5\)"),
        ({"keys": torch.zeros(7, 4).double()}, "keys must be Float like x, got Double"),
        ({"metric": "dot"}, "metric must be one of 'cosine', .* got 'dot'"),
    ],
)
def test_nearest_raises_for_invalid_arguments(change, message, device):
    given = {"x": torch.randn(3, 4), "keys": torch.randn(7, 4), "count": 2} | change
    given = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in given.items()}
    with pytest.raises(ValueError, match="nearest: " + message):
        ops.nearest(**given)
