"""mine_hardest: gradient and torch integration."""

import pytest
import torch
import torch.nn.functional as F
from mining_cases import METRICS, assert_mined, batch, check

from reid_ext import ops


def distances(metric, *integers):
    """Return a function from x and keys to the distances, for gradcheck."""
    names = ["labels", "groups", "key_labels", "key_groups"][: len(integers)]

    def mined(x, keys=None):
        named = dict(zip(names, integers, strict=True))
        return ops.mine_hardest(x, keys=keys, **named, metric=metric)[2:]

    return mined


def pair_distance(x, y, metric):
    if metric == "cosine":
        return 1 - F.cosine_similarity(x, y)
    return (x - y).norm(dim=1) ** (1 if metric == "euclidean" else 2)


LENGTHS = [(1e-12, 1e12), (1e18, 1e-18), (1e-18, 1e18), (1e19, 1e19), (2e-19, 1.0)]


@pytest.mark.parametrize("metric", METRICS)
def test_mining_gradient_matches_finite_differences(metric, device):
    x, keys = (
        torch.randn(rows, 5, device=device, dtype=torch.float64, requires_grad=True)
        for rows in (6, 9)
    )
    y, groups = torch.tensor([[0, 0, 1, 1, 1, 0], [0, 1, 0, 1, 0, 1]], device=device)
    key_y, key_groups = torch.arange(9, device=device) // 4 % 2, torch.arange(9, device=device) % 2
    assert torch.autograd.gradcheck(distances(metric, y), x)
    assert torch.autograd.gradcheck(distances(metric, y, groups), x)
    for inputs in ((x, keys), (x.detach(), keys), (x, keys.detach())):
        assert torch.autograd.gradcheck(distances(metric, y, groups, key_y, key_groups), inputs)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("own_keys", [True, False])
def test_mining_gradient_matches_that_of_the_pairs(own_keys, metric, device):
    x, y = batch(300, 300, device, identities=90)
    keys, key_y = (x, y) if own_keys else batch(70, 300, device, identities=90)
    leaves = [t.requires_grad_() for t in ([x] if own_keys else [x, keys])]
    two_sets = {} if own_keys else {"keys": keys, "key_labels": key_y}
    pairs = ops.mine_hardest(x, y, **two_sets, metric=metric)
    for index, distance in zip(pairs[:2], pairs[2:], strict=True):
        some = index >= 0
        weight = torch.randn_like(distance)[some]
        want = pair_distance(x[some], keys[index[some]], metric)
        sums = [(weight * d).sum() for d in (distance[some], want)]
        grads = [torch.autograd.grad(total, leaves, retain_graph=True) for total in sums]
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mining_gradient_of_half_input_is_that_of_float32(dtype, device):
    x, y = batch(20, 6, device, dtype)
    half, full = x.requires_grad_(), x.detach().float().requires_grad_()
    for leaf in (half, full):
        ops.mine_hardest(leaf, y).negative_distance.sum().backward()
    assert half.grad.dtype == dtype and torch.equal(half.grad, full.grad.to(dtype))


@pytest.mark.parametrize("metric", METRICS)
def test_mining_gradient_of_equal_rows_is_zero(metric, device):
    x = torch.ones(4, 3, device=device, requires_grad=True)
    pairs = ops.mine_hardest(x, torch.tensor([0, 0, 1, 1], device=device), metric=metric)
    sum(pairs[2:]).sum().backward()
    tolerance = 1e-6 if metric == "cosine" else 0  # unit rows are rounded
    torch.testing.assert_close(x.grad, torch.zeros_like(x), rtol=0, atol=tolerance)


@pytest.mark.parametrize("metric", METRICS)
def test_mining_gradient_of_zero_rows_is_finite(metric, device):
    x, y = batch(6, 4, device, identities=1)
    x[[0, 3]] = 0
    x.requires_grad_()
    ops.mine_hardest(x, y, metric=metric).positive_distance.sum().backward()
    assert x.grad.isfinite().all()
    assert metric != "cosine" or not x.grad[[0, 3]].any()


@pytest.mark.parametrize("length, key_length", LENGTHS)
def test_cosine_distance_is_accurate_for_rows_of_any_norm(length, key_length, device):
    x, keys = (F.normalize(torch.randn(rows, 4, device=device)) for rows in (12, 20))
    y, key_y = (torch.arange(rows, device=device) % 2 for rows in (12, 20))
    runs = []
    for scale, key_scale in ((1.0, 1.0), (length, key_length)):
        leaves = [(t * by).requires_grad_() for t, by in ((x, scale), (keys, key_scale))]
        pairs = ops.mine_hardest(leaves[0], y, keys=leaves[1], key_labels=key_y)
        grads = torch.autograd.grad(sum(pairs[2:]).sum(), leaves)
        runs.append([*pairs, grads[0] * scale, grads[1] * key_scale])
    torch.testing.assert_close(*runs, rtol=1e-3, atol=1e-4)


def test_row_with_underflowing_norm_counts_as_zero_row(device):
    x = torch.tensor([[1e-20, 0.0], [1.0, 0.0], [0.0, 1.0]], device=device, requires_grad=True)
    pairs = ops.mine_hardest(x, torch.tensor([0, 0, 1], device=device))
    assert pairs.positive_distance[0] == 1 and pairs.negative_distance[0] == 1
    pairs.positive_distance[:2].sum().backward()
    assert not x.grad[0].any() and x.grad.isfinite().all()


def test_mining_gradient_of_anchors_without_a_key_is_zero(device):
    x = torch.randn(3, 4, device=device, requires_grad=True)
    pairs = ops.mine_hardest(x, torch.tensor([0, 1, 2], device=device))
    pairs.positive_distance.sum().backward()
    assert not x.grad.any()
    assert not pairs.positive.requires_grad and not pairs.negative.requires_grad


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("own_keys", [True, False])
def test_mining_is_bit_identical_in_two_runs_and_two_threads(own_keys, metric, threads, device):
    x, y = batch(600, 300, device, torch.float32)
    keys, key_y = batch(500, 300, device, torch.float32)
    two_sets = {} if own_keys else {"keys": keys.requires_grad_(), "key_labels": key_y}
    runs = []
    for count in (1, 1, 2):
        threads(count)
        x.requires_grad_()
        pairs = ops.mine_hardest(x, y, **two_sets, metric=metric)
        loss = (pairs.positive_distance.nan_to_num() * pairs.negative_distance).sum()
        runs.append((*pairs, *torch.autograd.grad(loss, [x] if own_keys else [x, keys])))
    for one, *others in zip(*runs, strict=True):
        for other in others:
            torch.testing.assert_close(other, one, rtol=0, atol=0, equal_nan=True)


def test_mine_hardest_raises_for_second_derivative(device):
    x, y = batch(6, 3, device, identities=2)
    distance = ops.mine_hardest(x.requires_grad_(), y).negative_distance.sum()
    (grad,) = torch.autograd.grad(distance, x, create_graph=True)
    with pytest.raises(RuntimeError, match="mine_hardest is differentiable once; a second"):
        grad.sum().backward()


@pytest.mark.parametrize("metric", METRICS)
def test_mine_hardest_is_registered_correctly(metric, device):
    (x, _), (keys, _) = batch(8, 3, device), batch(12, 3, device)
    y, groups, key_y, key_groups = (
        torch.arange(rows, device=device) // step % 2 for rows in (8, 12) for step in (1, 2)
    )
    op = torch.ops.reid_ext.mine_hardest.default
    metric = METRICS.index(metric)
    one_set, two_sets = (x, y, None, None, groups, None), (x, y, keys, key_y, groups, key_groups)
    torch.library.opcheck(op, (*one_set, metric))
    torch.library.opcheck(op, (*two_sets, metric))
    backward = torch.ops.reid_ext.mine_hardest_backward.default
    pairs = op(*two_sets, metric)
    torch.library.opcheck(backward, (*pairs[2:], x, keys, *pairs, metric))
    # The last check of opcheck cannot add indices to distances.
    # test_mine_hardest_compiles_to_one_graph covers it.
    some = ("test_schema", "test_autograd_registration", "test_faketensor")
    x.requires_grad_(), keys.requires_grad_()
    torch.library.opcheck(op, (*one_set, metric), test_utils=some)
    torch.library.opcheck(op, (*two_sets, metric), test_utils=some)


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [False, True])
def test_mine_hardest_compiles_to_one_graph(dynamic, device):
    def mined(x, y, keys, key_y):
        return ops.mine_hardest(x, y, keys=keys, key_labels=key_y, metric="euclidean")

    compiled = torch.compile(mined, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for rows in (9, 12) if dynamic else (9,):
        (x, y), (keys, key_y) = (batch(r, 5, device, identities=2) for r in (rows, 2 * rows))
        leaves = x.requires_grad_(), keys.requires_grad_()
        got, want = (f(x, y, keys, key_y) for f in (compiled, mined))
        torch.testing.assert_close(tuple(got), tuple(want))
        grads = (torch.autograd.grad(sum(pairs[2:]).sum(), leaves) for pairs in (got, want))
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("autocast_to", [torch.bfloat16, torch.float16])
def test_mine_hardest_runs_in_float32_under_autocast(autocast_to, device):
    x, y = batch(40, 9, device, torch.float32)
    want = ops.mine_hardest(x, y)
    with torch.autocast(device.type, autocast_to):
        got = ops.mine_hardest(x, y)
    assert got.positive_distance.dtype == torch.float32
    assert_mined(got, want)


def test_mine_hardest_runs_in_inference_mode(device):
    with torch.inference_mode():
        check(*batch(9, 4, device))
