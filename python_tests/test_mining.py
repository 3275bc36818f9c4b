"""Hard mining: the op against its definition, anchor by anchor, its gradient, and its contract."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reid_ext import ops

METRICS = ["cosine", "euclidean", "squared_euclidean"]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
SIGNED = [torch.int8, torch.int16, torch.int32, torch.int64]
UNSIGNED = [torch.uint8, torch.uint16, torch.uint32, torch.uint64]


def one_to_all(x, keys, metric):
    """Distances of one row to all, NaN where a row is not finite."""
    if metric == "cosine":
        d = 1 - F.normalize(keys, dim=1) @ F.normalize(x, dim=0)
    else:
        d = (keys - x).square().sum(1)
        d = d.sqrt() if metric == "euclidean" else d
    finite = keys.isfinite().all(1) & x.isfinite().all()
    return torch.where(finite, d, torch.nan).numpy()


def first_of_most(values, candidates):
    """The lowest candidate of the largest value, NaN above all; -1 without candidates."""
    return candidates[np.argmax(values[candidates])] if len(candidates) else -1


def reference(x, labels, keys=None, key_labels=None, groups=None, key_groups=None, metric="cosine"):
    """Sec. 2 of arXiv:1703.07737, in float64 on the CPU."""
    own = keys is None
    if own:
        keys, key_labels, key_groups = x, labels, groups
    x, keys = x.detach().cpu().double(), keys.detach().cpu().double()
    rows = []
    for i in range(len(x)):
        d = np.append(one_to_all(x[i], keys, metric), np.nan)  # d[-1]: no key
        may = np.arange(len(keys)) != i if own else np.ones(len(keys), bool)
        if groups is not None:
            may &= (key_groups != groups[i]).cpu().numpy()
        same = (key_labels == labels[i]).cpu().numpy()
        p = first_of_most(d, np.flatnonzero(may & same))
        n = first_of_most(-d, np.flatnonzero(may & ~same))
        rows.append((p, n, d[p], d[n]))
    p, n, dp, dn = torch.tensor(rows, dtype=torch.float64).reshape(-1, 4).unbind(1)
    return ops.HardestPairs(p.long(), n.long(), dp, dn)


def assert_mined(got, want):
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a.cpu(), b.cpu().to(a.dtype), equal_nan=True)


def check(x, labels, keys=None, key_labels=None, groups=None, key_groups=None, metric="cosine"):
    two_sets = {"keys": keys, "key_labels": key_labels, "key_groups": key_groups}
    got = ops.mine_hardest(x, labels, **two_sets, groups=groups, metric=metric)
    assert got.positive_distance.dtype == (x.dtype if x.dtype == torch.float64 else torch.float32)
    assert_mined(got, reference(x, labels, **two_sets, groups=groups, metric=metric))


def batch(rows, dim, device, dtype=torch.float64, identities=None):
    x = torch.randn(rows, dim, device=device, dtype=torch.float64).to(dtype)
    return x, torch.randint(identities or rows // 3 + 1, (rows,), device=device)


def whole(rows, dim, device, dtype=torch.float64):
    """Rows of small integers: products are exact in any order, and distances are often equal."""
    return torch.randint(-2, 3, (rows, dim), device=device).to(dtype)


def corners(rows, dim, device, dtype=torch.float64):
    """Rows of -1 and 1. With dim a power of 4 their cosines are exact too."""
    return whole(rows, dim, device).ge(0).to(dtype) * 2 - 1


# --- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows, dim", [(0, 8), (1, 1), (4, 0), (33, 7), (64, 256), (300, 4)])
def test_matches_reference(rows, dim, metric, dtype, device):
    check(*batch(rows, dim, device, dtype), metric=metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n, m", [(0, 5), (5, 0), (0, 0), (1, 1), (3, 32), (40, 31), (7, 300)])
def test_matches_reference_between_anchors_and_keys(n, m, metric, device):
    (x, y), (keys, key_y) = (batch(rows, 6, device, identities=4) for rows in (n, m))
    groups, key_groups = (torch.randint(3, (rows,), device=device) for rows in (n, m))
    check(x, y, keys, key_y, metric=metric)
    check(x, y, keys, key_y, groups, key_groups, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [1, 33, 300])
def test_only_keys_of_another_group_qualify(rows, metric, device):
    check(*batch(rows, 5, device), groups=torch.randint(2, (rows,), device=device), metric=metric)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("metric", METRICS)
def test_matches_reference_across_tiles(metric, dtype, device):
    x, keys = (corners(rows, 4, device, dtype) for rows in (520, 4200))  # all of them tied often
    keys[torch.rand(4200) < 0.1] = 0
    y, key_y = (torch.randint(700, (rows,), device=device) for rows in (520, 4200))
    check(x, y, keys, key_y, metric=metric)


def test_no_row_is_its_own_positive_in_any_tile(device):
    y = torch.arange(4200, device=device)  # every row alone, but for a pair across the tiles
    y[[3, 4199]] = -1
    got = ops.mine_hardest(whole(4200, 3, device), y, metric="euclidean")
    want = torch.full((4200,), -1)
    want[3], want[4199] = 4199, 3
    assert got.positive.tolist() == want.tolist()


def test_small_batches_of_every_kind(device):
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
def test_ties_go_to_the_lowest_index(metric, dtype, device):
    make = corners if metric == "cosine" else whole
    few = make(5, 4, device, dtype)
    x = few[torch.randint(5, (300,), device=device)]  # each row about 60 times
    check(x, torch.randint(3, (300,), device=device), metric=metric)


@pytest.mark.parametrize("labels", [[7], [7, 7, 7], [1, 2, 3], [1, 1, 2]])
def test_gives_minus_one_and_nan_where_no_key_qualifies(labels, device):
    x, y = batch(len(labels), 4, device)[0], torch.tensor(labels, device=device)
    check(x, y)
    got = ops.mine_hardest(x, y)
    assert got.positive.lt(0).tolist() == [labels.count(label) == 1 for label in labels]
    assert got.negative.lt(0).tolist() == [len(set(labels)) == 1] * len(labels)
    assert got.positive_distance.isnan().tolist() == got.positive.lt(0).tolist()
    assert got.negative_distance.isnan().tolist() == got.negative.lt(0).tolist()


def test_groups_that_no_key_has_leave_all_keys(device):
    (x, y), (keys, key_y) = batch(5, 4, device), batch(9, 4, device)
    groups, key_groups = torch.full((5,), 8, device=device), torch.arange(9, device=device) % 3
    two_sets = {"keys": keys, "key_labels": key_y}
    want = ops.mine_hardest(x, y, **two_sets)
    assert_mined(ops.mine_hardest(x, y, **two_sets, groups=groups, key_groups=key_groups), want)


def test_distance_is_that_of_the_pair_without_cancellation(device):
    x = torch.tensor([[1.0, 1e-4], [1.0, 0.0], [0.0, 1.0]], device=device) * 1000
    y = torch.tensor([0, 0, 1], device=device)
    for metric, want in (("cosine", 0.5e-8), ("euclidean", 0.1), ("squared_euclidean", 0.01)):
        got = ops.mine_hardest(x, y, metric=metric).positive_distance[:2]
        torch.testing.assert_close(got, torch.full_like(got, want), rtol=1e-4, atol=0)


# --- input of every kind --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", SIGNED + UNSIGNED)
def test_labels_and_groups_of_any_integer_type(dtype, device):
    (x, y), (keys, key_y) = (batch(rows, 4, device, identities=5) for rows in (9, 20))
    groups, key_groups = y % 2, key_y // 2 % 2
    integers = [t.to(dtype) for t in (y, key_y, groups, key_groups)]
    names = ["labels", "key_labels", "groups", "key_groups"]
    got = ops.mine_hardest(x, keys=keys, **dict(zip(names, integers, strict=True)))
    assert_mined(got, reference(x, y, keys, key_y, groups, key_groups))


def test_labels_of_any_size(device):
    some = [-(2**63), -1, 0, 2**31, 2**32, 2**32 + 1, 2**63 - 1]
    y, groups = (torch.tensor(some, device=device)[torch.randint(7, (60,))] for _ in range(2))
    check(whole(60, 3, device), y, groups=groups, metric="euclidean")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
@pytest.mark.parametrize("argument", ["labels", "key_labels", "groups", "key_groups"])
def test_rejects_labels_that_are_not_integers(argument, dtype, device):
    (x, y), (keys, key_y) = batch(4, 3, device), batch(5, 3, device)
    integers = {"labels": y, "key_labels": key_y, "groups": y, "key_groups": key_y}
    integers[argument] = integers[argument].to(dtype)
    with pytest.raises(RuntimeError, match=f"{argument} must hold integers, got {dtype}; call"):
        ops.mine_hardest(x, keys=keys, **integers)


@pytest.mark.parametrize("metric", METRICS)
def test_reads_strided_input(metric, device):
    x, keys = (torch.randn(6, rows, device=device).t() for rows in (8, 40))
    y, key_y, groups, key_groups = (
        torch.randint(3, (rows, 2), device=device)[:, 1] for rows in (8, 40, 8, 40)
    )
    check(x, y, keys[::2], key_y[::2], groups, key_groups[::2], metric)
    check(x[:1].expand(8, -1), y, metric=metric)


@pytest.mark.parametrize("metric", METRICS)
def test_zero_rows(metric, device):
    x = corners(40, 4, device)
    x[::3] = 0
    y = torch.randint(4, (40,), device=device)
    check(x, y, metric=metric)
    check(torch.zeros_like(x), y, metric=metric)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [12, 300])
def test_row_that_is_not_finite_is_hardest_for_all(rows, metric, value, device):
    x, y = corners(rows, 4, device), torch.randint(3, (rows,), device=device)
    x[7, 2] = value
    x[rows - 1, 1] = value
    check(x, y, metric=metric)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("metric", METRICS)
def test_anchor_that_is_not_finite_gives_nan(metric, value, device):
    x, keys = corners(5, 4, device), corners(70, 4, device)
    x[2, 3] = value
    y, key_y = (torch.randint(2, (rows,), device=device) for rows in (5, 70))
    check(x, y, keys, key_y, metric=metric)


# --- gradient -------------------------------------------------------------------------------


def distances(metric, *integers):
    """A function of x, and of keys, to the distances: what gradcheck wants."""
    names = ["labels", "groups", "key_labels", "key_groups"][: len(integers)]

    def mined(x, keys=None):
        named = dict(zip(names, integers, strict=True))
        return ops.mine_hardest(x, keys=keys, **named, metric=metric)[2:]

    return mined


@pytest.mark.parametrize("metric", METRICS)
def test_gradient_matches_finite_differences(metric, device):
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


def pair_distance(x, y, metric):
    if metric == "cosine":
        return 1 - F.cosine_similarity(x, y)
    return (x - y).norm(dim=1) ** (1 if metric == "euclidean" else 2)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("own_keys", [True, False])
def test_gradient_matches_that_of_the_pairs(own_keys, metric, device):
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
def test_gradient_of_half_input_is_that_of_float32(dtype, device):
    x, y = batch(20, 6, device, dtype)
    half, full = x.requires_grad_(), x.detach().float().requires_grad_()
    for leaf in (half, full):
        ops.mine_hardest(leaf, y).negative_distance.sum().backward()
    assert half.grad.dtype == dtype and torch.equal(half.grad, full.grad.to(dtype))


@pytest.mark.parametrize("metric", METRICS)
def test_coincident_points_have_zero_gradient(metric, device):
    x = torch.ones(4, 3, device=device, requires_grad=True)
    pairs = ops.mine_hardest(x, torch.tensor([0, 0, 1, 1], device=device), metric=metric)
    sum(pairs[2:]).sum().backward()
    tolerance = 1e-6 if metric == "cosine" else 0  # the unit row itself is rounded
    torch.testing.assert_close(x.grad, torch.zeros_like(x), rtol=0, atol=tolerance)


@pytest.mark.parametrize("metric", METRICS)
def test_zero_rows_have_finite_gradient(metric, device):
    x, y = batch(6, 4, device, identities=1)
    x[[0, 3]] = 0
    x.requires_grad_()
    ops.mine_hardest(x, y, metric=metric).positive_distance.sum().backward()
    assert x.grad.isfinite().all()
    assert metric != "cosine" or not x.grad[[0, 3]].any()


LENGTHS = [(1e-12, 1e12), (1e18, 1e-18), (1e-18, 1e18), (1e19, 1e19), (2e-19, 1.0)]


@pytest.mark.parametrize("length, key_length", LENGTHS)
def test_rows_of_any_length_have_the_cosine_of_their_direction(length, key_length, device):
    x, keys = (F.normalize(torch.randn(rows, 4, device=device)) for rows in (12, 20))
    y, key_y = (torch.arange(rows, device=device) % 2 for rows in (12, 20))
    runs = []
    for scale, key_scale in ((1.0, 1.0), (length, key_length)):
        leaves = [(t * by).requires_grad_() for t, by in ((x, scale), (keys, key_scale))]
        pairs = ops.mine_hardest(leaves[0], y, keys=leaves[1], key_labels=key_y)
        grads = torch.autograd.grad(sum(pairs[2:]).sum(), leaves)
        runs.append([*pairs, grads[0] * scale, grads[1] * key_scale])
    torch.testing.assert_close(*runs, rtol=1e-3, atol=1e-4)


def test_row_too_short_to_have_a_direction_is_a_zero_row(device):
    x = torch.tensor([[1e-20, 0.0], [1.0, 0.0], [0.0, 1.0]], device=device, requires_grad=True)
    pairs = ops.mine_hardest(x, torch.tensor([0, 0, 1], device=device))
    assert pairs.positive_distance[0] == 1 and pairs.negative_distance[0] == 1
    pairs.positive_distance[:2].sum().backward()
    assert not x.grad[0].any() and x.grad.isfinite().all()


def test_anchors_without_a_key_have_zero_gradient(device):
    x = torch.randn(3, 4, device=device, requires_grad=True)
    pairs = ops.mine_hardest(x, torch.tensor([0, 1, 2], device=device))
    pairs.positive_distance.sum().backward()
    assert not x.grad.any()
    assert not pairs.positive.requires_grad and not pairs.negative.requires_grad


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("own_keys", [True, False])
def test_same_bits_in_two_runs_and_with_two_threads(own_keys, metric, threads, device):
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


def test_refuses_a_second_derivative(device):
    x, y = batch(6, 3, device, identities=2)
    distance = ops.mine_hardest(x.requires_grad_(), y).negative_distance.sum()
    (grad,) = torch.autograd.grad(distance, x, create_graph=True)
    with pytest.raises(RuntimeError, match="mine_hardest is differentiable once; a second"):
        grad.sum().backward()


# --- registration ---------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
def test_op_is_registered_correctly(metric, device):
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
    # The last of its checks cannot add indices to distances: test_compiles_to_one_graph does it.
    some = ("test_schema", "test_autograd_registration", "test_faketensor")
    x.requires_grad_(), keys.requires_grad_()
    torch.library.opcheck(op, (*one_set, metric), test_utils=some)
    torch.library.opcheck(op, (*two_sets, metric), test_utils=some)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_to_one_graph(dynamic, device):
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
def test_autocast_computes_in_float32(autocast_to, device):
    x, y = batch(40, 9, device, torch.float32)
    want = ops.mine_hardest(x, y)
    with torch.autocast(device.type, autocast_to):
        got = ops.mine_hardest(x, y)
    assert got.positive_distance.dtype == torch.float32
    assert_mined(got, want)


def test_runs_in_inference_mode(device):
    with torch.inference_mode():
        check(*batch(9, 4, device))


# --- errors ---------------------------------------------------------------------------------

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
    ({"key_labels": None}, "keys and key_labels must come together, got only one of them"),
    ({"keys": None}, "keys and key_labels must come together, got only one of them"),
    ({"key_groups": None}, "groups must come with key_groups where there are keys, got it alone"),
    ({"groups": None}, "key_groups must come with keys and groups, got it alone"),
]


def arguments(device, **changed):
    """Arguments that fit, but for those of another shape."""
    features = {"x": (6, 3), "keys": (9, 3)}
    integers = {"labels": (6,), "key_labels": (9,), "groups": (6,), "key_groups": (9,)}
    made = {}
    for name, shape in (features | integers | changed).items():
        dtype = torch.float32 if name in features else torch.int64
        made[name] = None if shape is None else torch.zeros(shape, dtype=dtype, device=device)
    return made


@pytest.mark.parametrize("changed, message", REFUSED)
def test_rejects_by_name(changed, message, device):
    with pytest.raises(RuntimeError, match="mine_hardest: " + message):
        ops.mine_hardest(**arguments(device, **changed))


def test_rejects_other_dtypes_by_name(device):
    given = arguments(device)
    with pytest.raises(
        RuntimeError, match=r"keys must be torch\.float32 like x, got torch\.float64"
    ):
        ops.mine_hardest(**given | {"keys": given["keys"].double()})
    with pytest.raises(RuntimeError, match="x must be float32 or float64, got Long"):
        ops.mine_hardest(**given | {"x": given["x"].long()})


def test_rejects_other_devices_by_name(device):
    if device.type == "cpu":
        pytest.skip("needs two devices")
    given = arguments(device)
    for name in ("labels", "keys", "key_labels", "groups", "key_groups"):
        with pytest.raises(RuntimeError, match=f"{name} must be on cuda:0 like .*, got cpu"):
            ops.mine_hardest(**given | {name: given[name].cpu()})


def test_rejects_unknown_metric(device):
    with pytest.raises(
        RuntimeError, match=r"metric must be one of cosine, euclidean.*, got 'angle'"
    ):
        ops.mine_hardest(*batch(4, 3, device), metric="angle")


def test_more_pairs_than_32_bits_count(device):
    n = 46_400  # n * n > 2 ** 31; whole numbers 0 .. n - 1 on a line, identities by parity
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0)).to(device)
    pairs = ops.mine_hardest(order.double()[:, None], order % 2, metric="euclidean")
    parity = order % 2
    farthest = torch.maximum(order - parity, (n - 2 + parity) - order)
    assert torch.equal(pairs.positive_distance, farthest.double())
    assert torch.equal(pairs.negative_distance, torch.ones_like(pairs.negative_distance))
    assert torch.equal((order[pairs.positive] - order).abs(), farthest)
