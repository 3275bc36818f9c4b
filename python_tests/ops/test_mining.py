"""mine_hardest: comparison with all distances row by row, input types and errors."""

import numpy as np
import pytest
import torch
from mining_cases import METRICS, assert_mined, batch, check
from reference.exact import corners, whole
from reference.mining import hardest_pairs

from reid_ext import ops

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


SIGNED = [torch.int8, torch.int16, torch.int32, torch.int64]


UNSIGNED = [torch.uint8, torch.uint16, torch.uint32, torch.uint64]


REFUSED = [
    ({"x": (6,)}, r"x must have shape \(N, D\), got \(6,\)"),
    ({"labels": (5,)}, r"labels must have shape \(6,\) to go with x, got \(5,\)"),
    ({"labels": (6, 1)}, r"labels must have shape \(6,\) to go with x, got \(6, 1\)"),
    ({"keys": (9, 4)}, r"keys must have shape \(9, 3\) to go with x, got \(9, 4\)"),
    ({"keys": (9,)}, r"keys must have shape \(.*, 3\) to go with x, got \(9,\)"),
    ({"keys": ()}, r"keys must have shape \(.*, 3\) to go with x, got \(\)"),
    ({"key_labels": (8,)}, r"key_labels must have shape \(9,\) to go with keys, got \(8,\)"),
    ({"groups": (9,)}, r"groups must have shape \(6,\) to go with x, got \(9,\)"),
    ({"key_groups": (6,)}, r"key_groups must have shape \(9,\) to go with keys, got \(6,\)"),
    ({"key_labels": None}, "keys and key_labels must be given together, got only one"),
    ({"keys": None}, "keys and key_labels must be given together, got only one"),
    (
        {"key_groups": None},
        "key_groups must be given when keys and groups are given, got no tensor",
    ),
    ({"groups": None}, "key_groups must be None unless keys and groups are given"),
]


def arguments(device, **changed):
    """Return valid arguments, with the shapes in ``changed`` replaced."""
    features = {"x": (6, 3), "keys": (9, 3)}
    integers = {"labels": (6,), "key_labels": (9,), "groups": (6,), "key_groups": (9,)}
    made = {}
    for name, shape in (features | integers | changed).items():
        dtype = torch.float32 if name in features else torch.int64
        made[name] = None if shape is None else torch.zeros(shape, dtype=dtype, device=device)
    return made


# --- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows, dim", [(0, 8), (1, 1), (4, 0), (33, 7), (64, 256), (300, 4)])
def test_mine_hardest_matches_reference(rows, dim, metric, dtype, device):
    check(*batch(rows, dim, device, dtype), metric=metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n, m", [(0, 5), (5, 0), (0, 0), (1, 1), (3, 32), (40, 31), (7, 300)])
def test_mine_hardest_matches_reference_with_keys(n, m, metric, device):
    (x, y), (keys, key_y) = (batch(rows, 6, device, identities=4) for rows in (n, m))
    groups, key_groups = (torch.randint(3, (rows,), device=device) for rows in (n, m))
    check(x, y, keys, key_y, metric=metric)
    check(x, y, keys, key_y, groups, key_groups, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [1, 33, 300])
def test_mine_hardest_uses_only_keys_of_another_group(rows, metric, device):
    check(*batch(rows, 5, device), groups=torch.randint(2, (rows,), device=device), metric=metric)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("metric", METRICS)
def test_mine_hardest_matches_reference_across_tiles(metric, dtype, device):
    x, keys = (corners(rows, 4, device, dtype) for rows in (520, 4200))  # with many ties
    keys[torch.rand(4200) < 0.1] = 0
    y, key_y = (torch.randint(700, (rows,), device=device) for rows in (520, 4200))
    check(x, y, keys, key_y, metric=metric)


def test_mine_hardest_never_pairs_a_row_with_itself(device):
    y = torch.arange(4200, device=device)  # distinct identities, except for one pair in two tiles
    y[[3, 4199]] = -1
    got = ops.mine_hardest(whole(4200, 3, device), y, metric="euclidean")
    want = torch.full((4200,), -1)
    want[3], want[4199] = 4199, 3
    assert got.positive.tolist() == want.tolist()


def test_mine_hardest_matches_reference_for_small_batches(device):
    rng = np.random.default_rng(0)
    for _ in range(100):
        n, m, dim, values = rng.integers((0, 0, 0, 1), (6, 70, 5, 5)).tolist()
        x, keys = whole(n, dim, device), whole(m, dim, device)
        y, groups = torch.randint(values, (2, n), device=device)
        key_y, key_groups = torch.randint(values, (2, m), device=device)
        metric = METRICS[1 + rng.integers(2)]
        check(x, y, keys, key_y, groups, key_groups, metric)
        check(keys, key_y, metric=metric)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", METRICS)
def test_mine_hardest_breaks_ties_by_lowest_index(metric, dtype, device):
    make = corners if metric == "cosine" else whole
    few = make(5, 4, device, dtype)
    x = few[torch.randint(5, (300,), device=device)]  # every row occurs about 60 times
    check(x, torch.randint(3, (300,), device=device), metric=metric)


@pytest.mark.parametrize("labels", [[7], [7, 7, 7], [1, 2, 3], [1, 1, 2]])
def test_mine_hardest_gives_minus_1_and_nan_without_a_pair(labels, device):
    x, y = batch(len(labels), 4, device)[0], torch.tensor(labels, device=device)
    check(x, y)
    got = ops.mine_hardest(x, y)
    assert got.positive.lt(0).tolist() == [labels.count(label) == 1 for label in labels]
    assert got.negative.lt(0).tolist() == [len(set(labels)) == 1] * len(labels)
    assert got.positive_distance.isnan().tolist() == got.positive.lt(0).tolist()
    assert got.negative_distance.isnan().tolist() == got.negative.lt(0).tolist()


def test_mine_hardest_uses_all_keys_when_no_key_has_the_group(device):
    (x, y), (keys, key_y) = batch(5, 4, device), batch(9, 4, device)
    groups, key_groups = torch.full((5,), 8, device=device), torch.arange(9, device=device) % 3
    two_sets = {"keys": keys, "key_labels": key_y}
    want = ops.mine_hardest(x, y, **two_sets)
    assert_mined(ops.mine_hardest(x, y, **two_sets, groups=groups, key_groups=key_groups), want)


def test_mine_hardest_distance_has_no_cancellation_error(device):
    x = torch.tensor([[1.0, 1e-4], [1.0, 0.0], [0.0, 1.0]], device=device) * 1000
    y = torch.tensor([0, 0, 1], device=device)
    for metric, want in (("cosine", 0.5e-8), ("euclidean", 0.1), ("squared_euclidean", 0.01)):
        got = ops.mine_hardest(x, y, metric=metric).positive_distance[:2]
        torch.testing.assert_close(got, torch.full_like(got, want), rtol=1e-4, atol=0)


# --- input types and edge cases -------------------------------------------------------------


@pytest.mark.parametrize("dtype", SIGNED + UNSIGNED)
def test_mine_hardest_accepts_any_integer_type(dtype, device):
    (x, y), (keys, key_y) = (batch(rows, 4, device, identities=5) for rows in (9, 20))
    groups, key_groups = y % 2, key_y // 2 % 2
    integers = [t.to(dtype) for t in (y, key_y, groups, key_groups)]
    names = ["labels", "key_labels", "groups", "key_groups"]
    got = ops.mine_hardest(x, keys=keys, **dict(zip(names, integers, strict=True)))
    assert_mined(got, hardest_pairs(x, y, keys, key_y, groups, key_groups))


def test_mine_hardest_accepts_labels_of_any_size(device):
    some = [-(2**63), -1, 0, 2**31, 2**32, 2**32 + 1, 2**63 - 1]
    y, groups = (torch.tensor(some, device=device)[torch.randint(7, (60,))] for _ in range(2))
    check(whole(60, 3, device), y, groups=groups, metric="euclidean")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
@pytest.mark.parametrize("argument", ["labels", "key_labels", "groups", "key_groups"])
def test_mine_hardest_raises_for_labels_that_are_not_integers(argument, dtype, device):
    (x, y), (keys, key_y) = batch(4, 3, device), batch(5, 3, device)
    integers = {"labels": y, "key_labels": key_y, "groups": y, "key_groups": key_y}
    integers[argument] = integers[argument].to(dtype)
    with pytest.raises(ValueError, match=f"{argument} must be integers, got {dtype}"):
        ops.mine_hardest(x, keys=keys, **integers)


@pytest.mark.parametrize("metric", METRICS)
def test_mine_hardest_accepts_strided_input(metric, device):
    x, keys = (torch.randn(6, rows, device=device).t() for rows in (8, 40))
    y, key_y, groups, key_groups = (
        torch.randint(3, (rows, 2), device=device)[:, 1] for rows in (8, 40, 8, 40)
    )
    check(x, y, keys[::2], key_y[::2], groups, key_groups[::2], metric)
    check(x[:1].expand(8, -1), y, metric=metric)


@pytest.mark.parametrize("metric", METRICS)
def test_mine_hardest_matches_reference_with_zero_rows(metric, device):
    x = corners(40, 4, device)
    x[::3] = 0
    y = torch.randint(4, (40,), device=device)
    check(x, y, metric=metric)
    check(torch.zeros_like(x), y, metric=metric)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [12, 300])
def test_non_finite_row_is_hardest_for_all_anchors(rows, metric, value, device):
    x, y = corners(rows, 4, device), torch.randint(3, (rows,), device=device)
    x[7, 2] = value
    x[rows - 1, 1] = value
    check(x, y, metric=metric)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("metric", METRICS)
def test_non_finite_anchor_has_nan_distances(metric, value, device):
    x, keys = corners(5, 4, device), corners(70, 4, device)
    x[2, 3] = value
    y, key_y = (torch.randint(2, (rows,), device=device) for rows in (5, 70))
    check(x, y, keys, key_y, metric=metric)


@pytest.mark.parametrize("changed, message", REFUSED)
def test_mine_hardest_raises_for_invalid_arguments(changed, message, device):
    with pytest.raises(ValueError, match="mine_hardest: " + message):
        ops.mine_hardest(**arguments(device, **changed))


def test_mine_hardest_raises_for_other_dtypes(device):
    given = arguments(device)
    with pytest.raises(ValueError, match=r"keys must be torch\.float32 like x, got torch\.float64"):
        ops.mine_hardest(**given | {"keys": given["keys"].double()})
    with pytest.raises(ValueError, match="x must be float32 or float64, got Long"):
        ops.mine_hardest(**given | {"x": given["x"].long()})


def test_mine_hardest_raises_for_other_devices(device):
    if device.type == "cpu":
        pytest.skip("needs two devices")
    given = arguments(device)
    for name in ("labels", "keys", "key_labels", "groups", "key_groups"):
        with pytest.raises(ValueError, match=f"{name} must be on cuda:0 like .*, got cpu"):
            ops.mine_hardest(**given | {name: given[name].cpu()})


def test_mine_hardest_raises_for_unknown_metric(device):
    with pytest.raises(
        ValueError, match=r"metric must be one of 'cosine', 'euclidean'.*, got 'angle'"
    ):
        ops.mine_hardest(*batch(4, 3, device), metric="angle")


@pytest.mark.slow
def test_mine_hardest_supports_more_than_2_to_the_31_pairs(device):
    n = 46_400  # n * n > 2 ** 31; points 0 to n - 1 on a line, identities by parity
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0)).to(device)
    pairs = ops.mine_hardest(order.double()[:, None], order % 2, metric="euclidean")
    parity = order % 2
    farthest = torch.maximum(order - parity, (n - 2 + parity) - order)
    assert torch.equal(pairs.positive_distance, farthest.double())
    assert torch.equal(pairs.negative_distance, torch.ones_like(pairs.negative_distance))
    assert torch.equal((order[pairs.positive] - order).abs(), farthest)
