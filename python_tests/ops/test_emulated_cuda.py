"""Runs every CUDA kernel on an emulated device and compares it with the CPU kernel of its op.

The tests need the library of python_tests/emulation, whose path is in REID_EXT_EMULATED. Each op
runs with several orders of the threads in a block and on a grid of two blocks. The results must be
bit-identical, and equal to those of the CPU kernel except for rounding. Memory that an op allocates
is filled with NaN.
"""

from itertools import pairwise

import emulated
import pytest
import torch
from emulated import BACKWARD, FORWARD, RANDOM
from ranking_cases import draw, lists
from reference.exact import corners, whole

from reid_ext import ops

pytestmark = pytest.mark.skipif(not emulated.LIBRARY, reason="needs REID_EXT_EMULATED")
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
METRICS = pytest.mark.parametrize("metric", [0, 1, 2])
WAYS = [{"order": FORWARD}, {"order": BACKWARD, "most_blocks": 2}, {"order": RANDOM}]


@pytest.fixture(scope="session")
def device():
    return emulated.device()


@pytest.fixture(autouse=True)
def memory_begins_as_nan():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def tuple_of(result):
    return result if isinstance(result, tuple) else (result,)


def both(device, op, *arguments, ways=WAYS, **tolerance):
    """Run an op in all ways on the emulated device, compare, and return the CPU result."""
    want = tuple_of(getattr(torch.ops.reid_ext, op).default(*arguments))
    first = None
    for way in ways:
        device.set(**way)
        got = tuple_of(getattr(torch.ops.reid_ext_emulated, op).default(*arguments))
        first = first or got
        for a, b in zip(got, first, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True, msg=f"{op}: {way}")
    torch.testing.assert_close(first, want, equal_nan=True, **tolerance)
    return want


def rows(n, d, dtype):
    """Return random rows, some of which are zero, equal, opposite, NaN or infinite."""
    x = torch.randn(n, d, dtype=dtype)
    if n > 6 and d > 0:
        x[1], x[3], x[4] = 0, x[2], -x[2]
        x[5, 0], x[6, d - 1] = torch.nan, torch.inf
    return x


# --- cosine ------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("angle", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (2, 0, 3, 4), (2, 3, 4, 0), (3, 7, 9, 33), (1, 9, 300, 5)]
)
def test_emulated_cosine_matrix_matches_cpu(device, shape, angle, dtype):
    batch, n, m, d = shape
    x, y = rows(batch * n, d, dtype).view(batch, n, d), rows(batch * m, d, dtype).view(batch, m, d)
    if 2 <= n <= m and d > 1:
        y[:, 0], y[:, 1] = 3 * x[:, 0], -2 * x[:, 0] + 1e-4  # angles at 0 and pi, and close to them
    for other in (y, None):
        cosine = both(device, "cosine_matrix", x, other, angle, atol=1e-6, rtol=1e-6)[0]
        grad = torch.randn_like(cosine)
        arguments = grad, cosine, x, other
        both(device, "cosine_matrix_backward", *arguments, atol=1e-5, rtol=1e-5)


# --- expat -------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("n, d", [(0, 8), (1, 1), (9, 33), (65, 100)])
def test_emulated_expat_triplet_loss_matches_cpu(device, n, d, dtype):
    triplets = [rows(n, d, dtype) for _ in range(3)]
    both(device, "expat_triplet_loss", *triplets, 1.0)
    grad = torch.randn(n, dtype=dtype)
    both(device, "expat_triplet_loss_backward", grad, *triplets, 0.5)


@DTYPES
@pytest.mark.parametrize("aggregation", [0, 1, 2])
@pytest.mark.parametrize("n", [0, 1, 33, 700])
def test_emulated_expat_mined_loss_matches_cpu(device, n, aggregation, dtype):
    index = [torch.randint(-1, max(n, 1), (n,)) for _ in range(2)]
    distance = [torch.rand(n, dtype=dtype) * 2 for _ in range(2)]
    for tensor in distance:
        tensor[:1] = torch.nan
    for modalities in (None, torch.randint(0, 2, (n,))):
        arguments = *index, *distance, modalities, 1.0, 0.7, 0.4, aggregation
        both(device, "expat_mined_loss", *arguments)


# --- fidi --------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("n, m, d", [(0, 0, 4), (1, 0, 4), (1, 1, 1), (7, 9, 33), (40, 300, 12)])
def test_emulated_fidi_loss_matches_cpu(device, n, m, d, dtype):
    x, keys = torch.randn(n, d, dtype=dtype), torch.randn(m, d, dtype=dtype)
    labels, key_labels = torch.randint(0, 4, (n,)), torch.randint(0, 4, (m,))
    if n > 6:
        x[1], x[2], keys[:3] = x[0], x[0] + 1e-3, x[:3]  # equal and nearly equal rows
        x[3] = 0
    for mean in (True, False):
        own = x, labels, None, None, 1.05, 0.5, mean
        both(device, "fidi_loss", *own, True, False, atol=1e-5, rtol=1e-4)
        given = x, labels, keys, key_labels, 1.05, 0.5, mean
        both(device, "fidi_loss", *given, True, True, atol=1e-5, rtol=1e-4)
    both(device, "fidi_loss", *given, False, False, atol=1e-5, rtol=1e-4)


def test_emulated_fidi_loss_matches_cpu_for_non_finite_rows(device):
    x, labels = rows(20, 5, torch.float32), torch.randint(0, 3, (20,))
    both(device, "fidi_loss", x, labels, None, None, 1.05, 0.5, True, True, False)


# --- mining ------------------------------------------------------------------------------------


def mined(device, x, labels, keys, key_labels, groups, key_groups, metric):
    given = x, labels, keys, key_labels, groups, key_groups, metric
    chosen = both(device, "mine_hardest", *given)
    grads = [torch.randn(len(x), dtype=x.dtype) for _ in range(2)]
    grads[0][:1] = 0
    arguments = *grads, x, keys, *chosen, metric
    both(device, "mine_hardest_backward", *arguments, atol=1e-5, rtol=1e-4)


@DTYPES
@METRICS
@pytest.mark.parametrize("n, m, d", [(0, 0, 4), (1, 0, 3), (1, 1, 1), (9, 20, 33), (20, 270, 4)])
def test_emulated_mine_hardest_matches_cpu(device, n, m, d, metric, dtype):
    x, keys = rows(n, d, dtype), rows(m, d, dtype)
    labels, key_labels = torch.randint(0, 4, (n,)), torch.randint(0, 4, (m,))
    groups, key_groups = torch.randint(0, 2, (n,)), torch.randint(0, 2, (m,))
    mined(device, x, labels, None, None, None, None, metric)
    mined(device, x, labels, None, None, groups, None, metric)
    mined(device, x, labels, keys, key_labels, None, None, metric)
    mined(device, x, labels, keys, key_labels, groups, key_groups, metric)


@METRICS
@pytest.mark.parametrize("m", [64, 300])
def test_emulated_mine_hardest_matches_cpu_with_ties(device, m, metric):
    make = corners if metric == 0 else whole
    x, keys = make(12, 4, "cpu"), make(m, 4, "cpu")
    labels, key_labels = torch.randint(0, 3, (12,)), torch.randint(0, 3, (m,))
    mined(device, x, labels, keys, key_labels, None, None, metric)


def test_emulated_mine_hardest_matches_cpu_with_several_tiles(device):
    x, labels = whole(4100, 2, "cpu"), torch.randint(0, 50, (4100,))
    arguments = x, labels, None, None, None, None, 2
    both(device, "mine_hardest", *arguments, ways=WAYS[:1])


# --- ranking -----------------------------------------------------------------------------------


def ranking_lists(q, g):
    positive, junk = draw(q, g)
    return lists(positive), lists(junk), lists(positive | junk)


@DTYPES
@METRICS
@pytest.mark.parametrize("q, g, d", [(0, 5, 4), (3, 0, 4), (1, 1, 1), (5, 40, 4), (3, 600, 16)])
def test_emulated_rank_positives_matches_cpu(device, q, g, d, metric, dtype):
    make = corners if metric == 0 and d != 1 else whole
    query, gallery = make(q, d, "cpu", dtype), make(g, d, "cpu", dtype)
    if g > 5:
        query[0, 0], gallery[2, 0], gallery[3], gallery[4, 1] = torch.nan, torch.nan, 0, torch.inf
    positives, junk, listed = ranking_lists(q, g)
    both(device, "rank_positives", query, gallery, *positives, *junk, metric, 0)
    distances = torch.cdist(query, gallery)
    both(device, "rank_positives_from_distances", distances, *positives, *junk)
    of_query = torch.repeat_interleave(positives.offsets.diff())
    pairs = query, gallery, of_query, positives.indices, metric
    values = both(device, "pair_values", *pairs)[0]
    for begin, end in pairwise((0, g // 3, g)):
        block = query, gallery[begin:end], begin, values, positives.indices, positives.offsets
        both(device, "count_before", *block, *listed, metric, 0)


@DTYPES
@METRICS
def test_emulated_ranking_ties_equal_images_in_a_streamed_gallery(device, metric, dtype):
    """Pairs must be compared by pair_values, because cuBLAS sums products in another order."""
    images = torch.randn(20, 70, dtype=dtype) * 9
    gallery, query = (
        images[torch.randint(20, (150,))],
        images[:6] + 0.1 * torch.randn(6, 70).to(dtype),
    )
    positives, _, listed = ranking_lists(6, 150)
    of_query = torch.repeat_interleave(positives.offsets.diff())
    pairs = query, gallery, of_query, positives.indices, metric
    values = torch.ops.reid_ext_emulated.pair_values(*pairs)
    own = torch.ops.reid_ext.pair_values(*pairs)
    streamed = positives.indices, positives.offsets, *listed, metric, 0
    want = torch.ops.reid_ext.count_before(query, gallery, 0, own, *streamed)
    for way in WAYS:
        device.set(**way)
        got = torch.zeros_like(want)
        for begin in (0, 47):
            block = gallery[begin : 47 if begin == 0 else 150]
            got += torch.ops.reid_ext_emulated.count_before(query, block, begin, values, *streamed)
        assert got.tolist() == want.tolist()


def test_emulated_ranking_matches_cpu_with_several_tiles(device):
    query, gallery = whole(1030, 2, "cpu"), whole(8200, 2, "cpu")
    index = torch.randint(0, 8200, (1030,))
    one, none = ops.Lists(torch.arange(1031), index), torch.zeros(1031, dtype=torch.int64)
    nothing = none, none[:0]
    both(device, "rank_positives", query, gallery, *one, *nothing, 2, 0, ways=WAYS[:1])
    values = ops.pair_values(query, gallery, torch.arange(1030), index, metric="squared_euclidean")
    block = query, gallery, 0, values, one.indices, one.offsets, *one, 2, 0
    both(device, "count_before", *block, ways=WAYS[:1])


# --- rerank ------------------------------------------------------------------------------------


@DTYPES
@METRICS
@pytest.mark.parametrize(
    "n, m, d, count", [(0, 5, 3, 2), (1, 1, 1, 1), (7, 50, 9, 50), (9, 1100, 3, 20)]
)
def test_emulated_nearest_matches_cpu(device, n, m, d, count, metric, dtype):
    x, keys = torch.randn(n, d, dtype=dtype), torch.randn(m, d, dtype=dtype)
    both(device, "nearest", x, keys, count, metric, atol=1e-5, rtol=1e-4)
    if n > 1:
        both(device, "nearest", x, None, n, metric, atol=2e-3, rtol=1e-4)


@METRICS
@pytest.mark.parametrize("count", [5, 1000])
def test_emulated_nearest_matches_cpu_with_ties_and_infinity(device, count, metric):
    x, keys = whole(4, 4, "cpu"), (corners if metric == 0 else whole)(1030, 4, "cpu")
    keys[7, 0], keys[900, 1], keys[11] = torch.nan, torch.inf, 0
    both(device, "nearest", x, keys, count, metric)


@DTYPES
@METRICS
@pytest.mark.parametrize(
    "q, g, d, k1, k2", [(1, 1, 2, 1, 1), (5, 40, 9, 6, 3), (9, 100, 16, 20, 6)]
)
def test_emulated_k_reciprocal_matches_cpu(device, q, g, d, k1, k2, metric, dtype):
    query, gallery = torch.randn(q, d, dtype=dtype), torch.randn(g, d, dtype=dtype)
    settings = query, gallery, k1, k2, 0.3, metric
    tolerance = {"atol": 1e-5, "rtol": 1e-4}
    both(device, "k_reciprocal", *settings, **tolerance)
    both(device, "k_reciprocal_nearest", *settings, min(g, 7), **tolerance)
    between = [torch.cdist(a, b) for a, b in [(query, gallery), (query, query), (gallery, gallery)]]
    both(device, "k_reciprocal_from_distances", *between, k1, k2, 0.3, **tolerance)


@DTYPES
@METRICS
@pytest.mark.parametrize("q, g, k1, k2, parts", [(5, 40, 6, 3, 3), (60, 90, 20, 6, 2)])
def test_emulated_k_reciprocal_is_bit_identical_in_parts(
    device, q, g, k1, k2, parts, metric, dtype
):
    settings = torch.randn(q, 9, dtype=dtype), torch.randn(g, 9, dtype=dtype)
    op = torch.ops.reid_ext_emulated
    for way in WAYS:
        device.set(**way)
        whole = op.k_reciprocal(*settings, k1, k2, 0.3, metric)
        nearest = op.k_reciprocal_nearest(*settings, k1, k2, 0.3, metric, 7)
        scans = [op.k_reciprocal_scan(*settings, k1, k2, metric, p, parts) for p in range(parts)]
        scan = ops.merge_scans([ops.Scan(*found) for found in scans])
        for first, count in ((0, 2), (2, q - 2), (q, 0)):
            rows = slice(first, first + count)
            share = *settings, *scan, k1, k2, 0.3, metric, first, count
            assert torch.equal(op.k_reciprocal_of_scan(*share), whole[rows]), way
            for a, b in zip(op.k_reciprocal_nearest_of_scan(*share, 7), nearest, strict=True):
                assert torch.equal(a, b[rows]), way


def test_emulated_k_reciprocal_accepts_no_queries_or_no_gallery(device):
    x = torch.randn(30, 4)
    both(device, "k_reciprocal", x[:0], x, 5, 2, 0.3, 1)
    both(device, "k_reciprocal", x, x[:0], 5, 2, 0.3, 1)


def test_emulated_k_reciprocal_matches_cpu_with_blocks_and_ties(device):
    x = whole(1100, 2, "cpu")
    both(device, "k_reciprocal", x[:1050], x[1050:], 20, 6, 0.3, 2, ways=WAYS[:1])


@DTYPES
@pytest.mark.parametrize("clustering", [False, True])
@pytest.mark.parametrize("n, d, k1, k2", [(2, 1, 1, 1), (40, 5, 6, 1), (90, 8, 20, 6)])
def test_emulated_jaccard_matches_cpu(device, n, d, k1, k2, clustering, dtype):
    x = torch.nn.functional.normalize(torch.randn(n, d, dtype=dtype))
    both(device, "jaccard", x, k1, k2, clustering, 1.0, atol=1e-5, rtol=1e-4)
    both(device, "jaccard", x, k1, k2, clustering, 0.5, atol=1e-5, rtol=1e-4)


# --- viewpoint ---------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("targets", [0, 1, 2])
@pytest.mark.parametrize("n, identities, views", [(0, 3, 2), (1, 1, 1), (7, 5, 3), (40, 130, 3)])
def test_emulated_viewpoint_loss_matches_cpu(device, n, identities, views, targets, dtype):
    logits = torch.randn(n, identities * views, dtype=dtype) * 5
    labels, view = torch.randint(0, identities, (n,)), torch.randint(0, views, (n,))
    present = torch.rand(identities, views) > 0.2
    present[labels, view] = True
    known = labels * views + view
    view[: n // 7] = -1
    for each in (False, True):
        for classes in (None, present):
            viewpoint(device, logits, labels, view, classes, views, targets, each)
        for alone in (targets, 3):  # 3 means the released labels, for a single view
            classes = present.flatten()[:, None] if targets else None
            viewpoint(device, logits, known, None, classes, 1, alone, each)


def viewpoint(device, logits, labels, views, present, num_views, targets, each):
    given = logits, labels, views, present
    loss, *saved = both(device, "viewpoint_loss", *given, num_views, 0.2, targets, each)
    grad = torch.randn_like(loss)
    arguments = grad, *given, *saved, num_views, 0.2, targets
    both(device, "viewpoint_loss_backward", *arguments, atol=1e-6, rtol=1e-5)


def test_emulated_viewpoint_loss_is_nan_for_missing_classes(device):
    device.set()
    logits, labels = torch.randn(4, 6), torch.tensor([0, 3, -1, 1])
    views, present = torch.tensor([0, 0, 0, 5]), None
    op = torch.ops.reid_ext_emulated
    loss, *saved = op.viewpoint_loss(logits, labels, views, present, 2, 0.2, 0, True)
    grad = op.viewpoint_loss_backward(
        torch.ones(4), logits, labels, views, present, *saved, 2, 0.2, 0
    )
    assert loss.isnan().tolist() == [False, True, True, True]
    assert grad.isnan().tolist() == [[wrong] * 6 for wrong in loss.isnan().tolist()]


# --- coverage ------------------------------------------------------------------------------------


def test_emulated_tests_run_every_kernel(device):
    """The last test of this file checks that the tests above cover all kernels."""
    ran = {kernel for kernel in device.kernels() if not kernel.startswith("faults")}
    assert ran == emulated.kernels_in_sources()
