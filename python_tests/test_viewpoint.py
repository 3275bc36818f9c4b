"""VA-reID's viewpoint softmax and loss: against their definition row by row, and their contract."""

import pytest
import torch
import torch.nn.functional as F

from reid_ext import losses, ops
from reid_ext.losses.viewpoint import (
    angular_regularisation,
    euclidean_regularisation,
    present_views,
)

TARGETS = ["adaptive", "fixed", "hard"]
ALPHA = 0.25


def label_row(r, y, v, present, targets):
    """The labels of one row of identity y and view v, whose probabilities r are (C, V)."""
    classes, views = present.sum(), present[y].sum()
    t = torch.zeros_like(r)
    if targets == "adaptive":
        e1 = ALPHA * (1 - r[y].sum()) if classes > views else 0
        e2 = ALPHA * (1 - r[y, v]) if views > 1 else 0
        t[:] = e1 / (classes - views)
        t[y] = e2 / (views - 1)
        t[y, v] = 1 - e1 - e2
    elif targets == "fixed":
        t[y] = 0.3 / (views - 1)
        t[y, v] = 0.6 if views > 1 else 0.9
        t += 0.1 / classes
    else:
        t[y, v] = 1
    return torch.where(present, t, 0)


def reference(logits, labels, views, *, num_views=3, targets="adaptive", present=None):
    """Each row's loss in float64, with the labels as constants; NaN where it does not count."""
    logits = logits.double()
    identities = logits.shape[1] // num_views
    if present is None:
        present = torch.ones(identities, num_views, dtype=torch.bool, device=logits.device)
    rows = [logits.sum() * 0 + torch.nan] * len(logits)
    for i in (views >= 0).nonzero()[:, 0].tolist():
        z = logits[i].view(identities, num_views)
        z = z - z[present].max()  # as large logits swallow the logarithm of a sum
        log_r = (z - z[present].logsumexp(0)).masked_fill(~present, 0)
        r = torch.where(present, log_r.detach().exp(), 0)
        rows[i] = -(label_row(r, labels[i], views[i], present, targets) * log_r).sum()
    return torch.stack(rows) if rows else logits.sum(1)


def batch(rows, identities, num_views, device, dtype=torch.float64, masked=False):
    """Logits, labels and views; `present` lacks about a third of the classes, no row's own."""
    logits = 3 * torch.randn(rows, identities * num_views, device=device, dtype=torch.float64)
    labels = torch.randint(identities, (rows,), device=device)
    views = torch.randint(num_views, (rows,), device=device)
    present = torch.rand(identities, num_views, device=device) < 0.6 if masked else None
    if present is not None:
        present[labels, views] = True
    return logits.to(dtype), labels, views, present


def labels_used(logits, labels, views, **choices):
    """The labels the op worked with, (N, C * V): as they sum to 1, the gradient is r - t."""
    logits = logits.detach().requires_grad_()
    ops.viewpoint_loss(logits, labels, views, aggregation="none", **choices).sum().backward()
    present = choices.get("present")
    z = logits.detach() if present is None else logits.masked_fill(~present.flatten(), -torch.inf)
    return (z.softmax(1) - logits.grad).detach()


# --- values ---------------------------------------------------------------------------------

SHAPES = [(0, 3, 3), (1, 1, 1), (5, 1, 3), (6, 4, 1), (9, 40, 2), (33, 50, 3), (3, 700, 5)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_matches_reference_with_its_gradient(shape, masked, targets, dtype, device):
    logits, labels, views, present = batch(*shape, device, dtype, masked)
    views[1::4] = -1
    choices = {"num_views": shape[2], "targets": targets, "present": present}
    leaf = logits.requires_grad_()
    got = ops.viewpoint_loss(leaf, labels, views, **choices)
    each = ops.viewpoint_loss(leaf, labels, views, **choices, aggregation="none")
    exact = logits.detach().double().requires_grad_()
    want = reference(exact, labels, views, **choices)
    torch.testing.assert_close(each, want.to(dtype), equal_nan=True)
    mean = want.nansum() / (views >= 0).sum().clamp(min=1)
    torch.testing.assert_close(got, mean.to(dtype))
    (grad,) = torch.autograd.grad(got, leaf)
    (want_grad,) = torch.autograd.grad(mean, exact)
    torch.testing.assert_close(grad, want_grad.to(dtype))


def test_hard_labels_are_cross_entropy(device):
    logits, labels, views, _ = batch(9, 5, 3, device)
    got = ops.viewpoint_loss(logits, labels, views, targets="hard")
    torch.testing.assert_close(got, F.cross_entropy(logits, labels * 3 + views))


def test_adaptive_labels_are_those_of_the_paper(device):
    r = torch.tensor([[0.1, 0.4, 0.1], [0.2, 0.1, 0.1]], device=device, dtype=torch.float64)
    y, v = torch.tensor([[0], [1]], device=device)
    e1, e2 = ALPHA * (1 - 0.6), ALPHA * (1 - 0.4)
    view, elsewhere = e2 / 2, e1 / (6 - 3)
    want = torch.tensor([[view, 1 - e1 - e2, view, elsewhere, elsewhere, elsewhere]])
    torch.testing.assert_close(labels_used(r.log().view(1, 6), y, v).cpu(), want.double())


@pytest.mark.parametrize(
    "present, want",
    [
        ([1, 1, 1, 1, 1, 1], [0.6 + 0.1 / 6, 0.15 + 0.1 / 6, 0.15 + 0.1 / 6, *[0.1 / 6] * 3]),
        ([1, 0, 1, 1, 1, 0], [0.6 + 0.1 / 4, 0, 0.30 + 0.1 / 4, 0.1 / 4, 0.1 / 4, 0]),
        ([1, 0, 0, 1, 1, 1], [0.9 + 0.1 / 4, 0, 0, 0.1 / 4, 0.1 / 4, 0.1 / 4]),
    ],
)
def test_fixed_labels_for_three_two_and_one_view(present, want, device):
    mask = torch.tensor(present, device=device).bool().view(2, 3)
    y = v = torch.zeros(1, dtype=torch.int64, device=device)
    logits = torch.randn(1, 6, device=device, dtype=torch.float64)
    got = labels_used(logits, y, v, targets="fixed", present=mask)
    torch.testing.assert_close(got.cpu(), torch.tensor([want], dtype=torch.float64))


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("masked", [False, True])
def test_labels_are_probabilities(masked, targets, device):
    logits, labels, views, present = batch(40, 6, 3, device, masked=masked)
    t = labels_used(3 * logits, labels, views, targets=targets, present=present)
    torch.testing.assert_close(t.sum(1), torch.ones_like(t[:, 0]))
    assert t.min() > -1e-12


def test_alpha_of_zero_is_hard_labels(device):
    logits, labels, views, _ = batch(9, 5, 3, device)
    hard = ops.viewpoint_loss(logits, labels, views, targets="hard")
    torch.testing.assert_close(ops.viewpoint_loss(logits, labels, views, alpha=0.0), hard)


@pytest.mark.parametrize("targets", TARGETS)
def test_permuting_rows_permutes_their_losses(targets, device):
    logits, labels, views, present = batch(20, 6, 3, device, masked=True)
    order = torch.randperm(20, device=device)
    choices = {"targets": targets, "present": present, "aggregation": "none"}
    each = ops.viewpoint_loss(logits, labels, views, **choices)
    got = ops.viewpoint_loss(logits[order], labels[order], views[order], **choices)
    assert torch.equal(got, each[order])


# --- rows and classes that do not take part ---------------------------------------------------


@pytest.mark.parametrize("rows", [0, 3])
def test_rows_without_a_view_give_zero_loss_and_zero_gradient(rows, device):
    logits = torch.randn(rows, 12, device=device, requires_grad=True)
    labels = torch.full((rows,), 2**62, device=device)  # never looked up
    loss = ops.viewpoint_loss(logits, labels, torch.full((rows,), -1, device=device))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e30])
@pytest.mark.parametrize("targets", TARGETS)
def test_logits_of_absent_classes_are_not_looked_at(targets, value, device):
    logits, labels, views, present = batch(9, 6, 3, device, torch.float32, masked=True)
    grads = []
    for absent in (0.0, value):
        leaf = logits.masked_fill(~present.flatten(), absent).requires_grad_()
        ops.viewpoint_loss(leaf, labels, views, targets=targets, present=present).backward()
        grads.append(leaf.grad)
    assert torch.equal(*grads) and not grads[1][:, ~present.flatten()].any()


# --- logits of every kind ---------------------------------------------------------------------


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4, 1e30])
def test_logits_of_any_size_have_finite_losses_and_gradients(size, targets, device):
    logits, labels, views, _ = batch(30, 6, 3, device, torch.float32)
    leaf = (logits.sign() * size).requires_grad_()
    each = ops.viewpoint_loss(leaf, labels, views, targets=targets, aggregation="none")
    each.sum().backward()
    torch.testing.assert_close(each, reference(leaf, labels, views, targets=targets).float())
    assert leaf.grad.isfinite().all() and leaf.grad.abs().max() <= 1


def test_a_certain_prediction_keeps_the_digits_of_its_gradient(device):
    logits = torch.zeros(1, 30, device=device)
    logits[0, 4] = 25  # the probability rounds to 1 in float32
    y = v = torch.ones(1, dtype=torch.int64, device=device)
    exact = logits.double().requires_grad_()
    reference(exact, y, v).sum().backward()
    ops.viewpoint_loss(logits.requires_grad_(), y, v).backward()
    torch.testing.assert_close(logits.grad, exact.grad.float(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("column", [0, 1, 5])  # of the class, another view, another identity
def test_minus_infinity_means_what_it_does_in_torch(column, targets, device):
    logits = torch.randn(1, 6, device=device, dtype=torch.float64)
    logits[0, column] = -torch.inf
    y = v = torch.zeros(1, dtype=torch.int64, device=device)
    log_r = logits.log_softmax(1)
    t = label_row(log_r.exp().view(2, 3), 0, 0, torch.ones(2, 3, device=device).bool(), targets)
    want = -torch.where(t.flatten() > 0, t.flatten() * log_r[0], 0).sum()
    leaf = logits.requires_grad_()
    loss = ops.viewpoint_loss(leaf, y, v, targets=targets)
    loss.backward()
    torch.testing.assert_close(loss.detach(), want)
    torch.testing.assert_close(leaf.grad[0], log_r[0].exp().detach() - t.flatten())


@pytest.mark.parametrize("targets", TARGETS)
def test_nan_is_not_hidden_and_stays_in_its_row(targets, device):
    for column in (0, 1, 17):
        logits, _, views, _ = batch(3, 6, 3, device)
        logits[1, column] = torch.nan
        leaf, labels = logits.requires_grad_(), torch.zeros_like(views)
        each = ops.viewpoint_loss(leaf, labels, 0 * views, targets=targets, aggregation="none")
        each.sum().backward()
        assert each.isnan().tolist() == [False, True, False]
        assert leaf.grad.isnan().any(1).tolist() == [False, True, False]


def test_reads_strided_logits(device):
    logits, labels, views, _ = batch(7, 4, 3, device)
    want = ops.viewpoint_loss(logits, labels, views)
    leaf = logits.t().contiguous().requires_grad_()
    got = ops.viewpoint_loss(leaf.t(), labels, views)
    got.backward()
    torch.testing.assert_close(got.detach(), want)
    assert leaf.grad.shape == (12, 7)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32])
def test_labels_and_views_of_any_integer_type(dtype, device):
    logits, labels, views, _ = batch(7, 4, 3, device)
    got = ops.viewpoint_loss(logits, labels.to(dtype), views.to(dtype))
    assert torch.equal(got, ops.viewpoint_loss(logits, labels, views))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_logits_are_computed_in_float32(dtype, device):
    logits, labels, views, _ = batch(20, 6, 3, device, dtype)
    half, full = logits.requires_grad_(), logits.detach().float().requires_grad_()
    got, want = (ops.viewpoint_loss(leaf, labels, views) for leaf in (half, full))
    got.backward(), want.backward()
    assert got.dtype == torch.float32 and torch.equal(got, want)
    assert half.grad.dtype == dtype and torch.equal(half.grad, full.grad.to(dtype))
    # Against the reference on the unrounded logits: half inputs carry 8 or 11 bits.
    exact = reference(batch_again(20, device), labels, views).mean()
    tolerance = {torch.bfloat16: 2**-7, torch.float16: 2**-10}[dtype]
    torch.testing.assert_close(got.double(), exact, rtol=tolerance, atol=tolerance)


def batch_again(rows, device):
    """The logits that batch() drew first from the test's seed, before they were rounded."""
    torch.manual_seed(0)
    return batch(rows, 6, 3, device)[0]


# --- gradient ---------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", ["fixed", "hard"])
@pytest.mark.parametrize("aggregation", ["mean", "none"])
@pytest.mark.parametrize("masked", [False, True])
def test_gradient_matches_finite_differences(masked, aggregation, targets, device):
    # Adaptive labels move with the logits, but are constants in the gradient by definition: finite
    # differences would see them move. test_matches_reference_with_its_gradient covers them.
    logits, labels, views, present = batch(4, 3, 3, device, masked=masked)
    views[1] = -1
    choices = {"targets": targets, "present": present, "aggregation": aggregation}

    def loss(leaf):
        each = ops.viewpoint_loss(leaf, labels, views, **choices)
        return each if aggregation == "mean" else each[views >= 0]

    assert torch.autograd.gradcheck(loss, logits.requires_grad_())


def test_each_row_has_its_own_incoming_gradient(device):
    logits, labels, views, _ = batch(5, 4, 3, device)
    weight = torch.randn(5, device=device, dtype=torch.float64)
    grads = []
    for loss in (lambda *a: ops.viewpoint_loss(*a, aggregation="none"), reference):
        leaf = logits.detach().requires_grad_()
        (weight * loss(leaf, labels, views)).sum().backward()
        grads.append(leaf.grad)
    torch.testing.assert_close(*grads)


def test_keeps_nothing_of_the_size_of_the_logits_but_them(device):
    logits, labels, views, _ = batch(8, 50, 3, device)
    leaf, saved = logits.requires_grad_(), []
    keep = torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t)
    with keep:
        ops.viewpoint_loss(leaf, labels, views)
    large = [t for t in saved if t.numel() > 8]
    assert [t.data_ptr() for t in large] == [leaf.data_ptr()]


def test_refuses_a_second_derivative(device):
    logits, labels, views, _ = batch(4, 3, 3, device)
    loss = ops.viewpoint_loss(logits.requires_grad_(), labels, views)
    (grad,) = torch.autograd.grad(loss, logits, create_graph=True)
    with pytest.raises(RuntimeError, match="viewpoint_loss is differentiable once; a second"):
        grad.sum().backward()


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("masked", [False, True])
def test_same_bits_in_two_runs_and_with_two_threads(masked, threads, device):
    logits, labels, views, present = batch(300, 400, 3, device, torch.float32, masked)
    logits.requires_grad_()
    runs = []
    for count in (1, 1, 2):
        threads(count)
        loss = ops.viewpoint_loss(logits, labels, views, present=present)
        runs.append((loss, *torch.autograd.grad(loss, logits)))
    for one, *others in zip(*runs, strict=True):
        assert all(torch.equal(one, other) for other in others)


# --- registration -----------------------------------------------------------------------------


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_op_is_registered_correctly(masked, each, device):
    logits, labels, views, present = batch(4, 3, 3, device, masked=masked)
    op = torch.ops.reid_ext.viewpoint_loss.default
    arguments = (logits.requires_grad_(), labels, views, present, 3, ALPHA, 0)  # adaptive
    torch.library.opcheck(op, (*arguments, each))
    logits = logits.detach()
    arguments = (logits, *arguments[1:])
    loss, *saved = op(*arguments, each)
    backward = torch.ops.reid_ext.viewpoint_loss_backward.default
    torch.library.opcheck(backward, (loss, *arguments[:4], *saved, *arguments[4:]))


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_to_one_graph(dynamic, device):
    compiled = torch.compile(
        ops.viewpoint_loss, fullgraph=True, backend="aot_eager", dynamic=dynamic
    )
    for rows in (5, 8) if dynamic else (5,):
        logits, labels, views, present = batch(rows, 4, 3, device, masked=True)
        grads = []
        for loss in (compiled, ops.viewpoint_loss):
            leaf = logits.detach().requires_grad_()
            loss(leaf, labels, views, present=present).backward()
            grads.append(leaf.grad)
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("autocast_to", [torch.bfloat16, torch.float16])
def test_autocast_computes_in_float32(autocast_to, device):
    logits, labels, views, _ = batch(9, 6, 3, device, torch.float32)
    with torch.autocast(device.type, autocast_to):
        got = ops.viewpoint_loss(logits, labels, views)
    assert got.dtype == torch.float32
    assert torch.equal(got, ops.viewpoint_loss(logits, labels, views))


# --- errors -----------------------------------------------------------------------------------

OUT_OF_RANGE = {
    "labels": (4, 0, r"labels must be in \[0, 4\), got 4 in row 2"),
    "negative labels": (-1, 0, r"labels must be in \[0, 4\), got -1 in row 2"),
    "labels that would overflow": (2**62, 1, r"labels must be .* got 4611686018427387904"),
    "views": (0, 3, r"views must be in \[0, 3\) or -1 for none, got 3 in row 2"),
    "negative views": (0, -2, r"views must be in \[0, 3\) or -1 for none, got -2 in row 2"),
    "absent": (1, 1, "present must be True for the class of every row, got False for identity 1"),
}


@pytest.mark.parametrize("case", OUT_OF_RANGE)
def test_class_out_of_range_is_an_error_on_the_cpu_and_nan_on_cuda(case, device):
    label, view, message = OUT_OF_RANGE[case]
    logits, labels, views, _ = batch(5, 4, 3, device)
    present = torch.ones(4, 3, dtype=torch.bool, device=device)
    present[1, 1] = False
    labels[:], views[:] = 0, 0
    labels[2], views[2] = label, view
    leaf = logits.requires_grad_()
    if device.type == "cpu":
        with pytest.raises(RuntimeError, match="viewpoint_loss: " + message):
            ops.viewpoint_loss(leaf, labels, views, present=present)
        return
    each = ops.viewpoint_loss(leaf, labels, views, present=present, aggregation="none")
    each.sum().backward()
    assert each.isnan().tolist() == leaf.grad.isnan().all(1).tolist() == [i == 2 for i in range(5)]


REFUSED = {
    "logits of one dimension": ({"logits": (12,)}, r"logits must have shape \(N, C \* V\), got"),
    "logits of part of an identity": (
        {"logits": (6, 11)},
        "logits must have num_views = 3 ",
    ),
    "labels too short": ({"labels": (5,)}, r"labels must have shape \(6,\) .* logits, got \(5,\)"),
    "views as a column": ({"views": (6, 1)}, r"views must have shape \(6,\) .* got \(6, 1\)"),
    "present turned": ({"present": (3, 4)}, r"present must have shape \(4, 3\) .* got \(3, 4\)"),
    "no views": ({"num_views": 0}, "num_views must be at least 1"),
    "alpha above": ({"alpha": 0.6}, r"alpha must be in \[0, 0.5\], got 0.6"),
    "alpha below": ({"alpha": -0.1}, r"alpha must be in \[0, 0.5\], got -0.1"),
    "alpha of no value": ({"alpha": float("nan")}, r"alpha must be in \[0, 0.5\], got -?nan"),
    "other targets": (
        {"targets": "soft"},
        "targets must be one of adaptive, fixed, hard, got 'soft'",
    ),
    "released targets": ({"targets": "released"}, "targets must be one of adaptive, fixed, hard"),
    "another aggregation": (
        {"aggregation": "sum"},
        "aggregation must be one of mean, none, got 'sum'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rejects_by_name(case, device):
    changed, message = REFUSED[case]
    shapes = {"logits": (6, 12), "labels": (6,), "views": (6,), "present": (4, 3)}
    given = {
        name: value if not isinstance(value, tuple) else torch.zeros(value, device=device).long()
        for name, value in (shapes | changed).items()
    }
    given |= {"logits": given["logits"].float(), "present": given["present"] == 0}
    with pytest.raises(RuntimeError, match="viewpoint_loss: " + message):
        ops.viewpoint_loss(**given)


def test_rejects_other_dtypes_by_name(device):
    logits, labels, views, present = batch(4, 3, 3, device, masked=True)
    with pytest.raises(RuntimeError, match=r"views must hold integers, got torch\.float64"):
        ops.viewpoint_loss(logits, labels, views.double())
    with pytest.raises(RuntimeError, match=r"present must be bool, got Long; call \.bool"):
        ops.viewpoint_loss(logits, labels, views, present=present.long())
    with pytest.raises(RuntimeError, match="logits must be float32 or float64, got Long"):
        ops.viewpoint_loss(logits.long(), labels, views)


# --- the whole loss ---------------------------------------------------------------------------


def whole(device, **choices):
    """A loss over 5 identities, of which identity 2 lacks two views; and a batch for it."""
    present = torch.ones(5, 3, dtype=torch.bool, device=device)
    present[2, 1:] = False
    loss = losses.ViewpointAwareLoss(5, 8, present=present, **choices).to(device).double()
    nn_init(loss)
    features = torch.randn(6, 8, device=device, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 2, 3, 4], device=device)
    views = torch.tensor([0, 2, 0, -1, 1, 1], device=device)
    return loss, (features, labels, views)


def nn_init(loss):
    with torch.no_grad():
        for weight in loss.parameters():
            weight.normal_()


@pytest.mark.parametrize("labels", TARGETS)
def test_loss_is_the_sum_of_its_parts(labels, device):
    loss, (x, y, v) = whole(device, labels=labels, beta=0.3)
    total = loss(x, y, v)
    weight = loss.view_weight.detach().flatten(0, 1)
    want = {
        "identity": ops.adaptive_label_smoothing_loss(x @ loss.identity_weight.detach().T, y),
        "viewpoint": reference(x @ weight.T, y, v, targets=labels, present=loss.present).nanmean(),
        "regularisation": angular_regularisation(*loss.parameters(), loss.present).detach(),
    }
    torch.testing.assert_close(loss.parts, want)
    assert not any(part.requires_grad for part in loss.parts.values())
    total_wanted = want["identity"] + want["viewpoint"] + 0.3 * want["regularisation"]
    torch.testing.assert_close(total.detach(), total_wanted)


def test_starts_at_the_logarithms_of_the_numbers_of_classes(device):
    loss = losses.ViewpointAwareLoss(751, 64, beta=0.0).to(device)
    labels = torch.arange(16, device=device)
    got = loss(torch.randn(16, 64, device=device), labels, labels % 3)
    want = torch.tensor([751.0, 3 * 751.0]).log().sum().to(device)
    torch.testing.assert_close(got, want, rtol=1e-3, atol=0)  # the weights are small, not 0


def test_absent_views_have_no_gradient(device):
    loss, given = whole(device)
    loss(*given).backward()
    absent = ~loss.present
    assert not loss.view_weight.grad[absent].any()
    assert loss.view_weight.grad[~absent].any(-1).all()


def test_descent_raises_the_cosines(device):
    loss, (x, y, v) = whole(device, beta=5.0)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.5)
    seen = []
    for _ in range(60):
        optimizer.zero_grad()
        loss(x, y, v).backward()
        optimizer.step()
        seen.append(loss.parts["regularisation"].item())
    assert seen[-1] < 0.2 * seen[0]


def test_angular_regularisation_is_the_mean_of_one_minus_cosine(device):
    w = torch.tensor([[3.0, 0.0], [0.0, 0.0]], device=device)
    u = torch.tensor([[[1.0, 0], [0, 2], [-1, 0]], [[1, 0], [0, 1], [1, 1]]], device=device)
    assert angular_regularisation(w, u).item() == pytest.approx((0 + 1 + 2 + 1 + 1 + 1) / 6)
    present = torch.tensor([[True, True, False], [True, False, False]], device=device)
    assert angular_regularisation(w, u, present).item() == pytest.approx((0 + 1 + 1) / 3)
    assert angular_regularisation(w, u, present & False).item() == 0


def test_euclidean_regularisation_averages_pairs_and_identities(device):
    u = torch.tensor([[[0.0, 0], [3, 4], [0, 4]], [[1, 0], [1, 0], [7, 7]]], device=device)
    present = torch.tensor([[True, True, True], [True, True, False]], device=device)
    assert euclidean_regularisation(u).item() == pytest.approx(
        ((5 + 4 + 3) / 3 + 2 * (36 + 49) ** 0.5 / 3) / 2
    )
    leaf = u.requires_grad_()
    loss = euclidean_regularisation(leaf, present)
    loss.backward()
    assert loss.item() == pytest.approx((5 + 4 + 3) / 3 / 2)
    assert leaf.grad.isfinite().all() and not leaf.grad[1].any()  # coincident, and absent


@pytest.mark.parametrize("regularise", [angular_regularisation, euclidean_regularisation])
def test_gradient_of_the_regularisation(regularise, device):
    w, u = (
        torch.randn(shape, device=device, dtype=torch.float64, requires_grad=True)
        for shape in ((4, 5), (4, 3, 5))
    )
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]], device=device).bool()
    weights = (w, u) if regularise is angular_regularisation else (u,)
    assert torch.autograd.gradcheck(lambda *given: regularise(*given, present), weights)


def test_euclidean_regularisation_can_be_chosen(device):
    loss, given = whole(device, regularisation="euclidean")
    loss(*given)
    want = euclidean_regularisation(loss.view_weight.detach(), loss.present)
    torch.testing.assert_close(loss.parts["regularisation"], want)


def test_present_views_are_those_of_the_training_set(device):
    labels, views = torch.tensor([[0, 0, 2, 2, 1], [0, 0, 1, 2, -1]], device=device)
    got = present_views(labels, views, num_identities=3)
    assert got.tolist() == [[True, False, False], [False] * 3, [False, True, True]]
    with pytest.raises(ValueError, match=r"present_views: labels must be in \[0, 2\), got 2"):
        present_views(labels, views, num_identities=2)


def test_whole_loss_compiles_to_one_graph(device):
    loss, given = whole(device)
    want = loss(*given)
    parts = loss.parts
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*given), want)
    torch.testing.assert_close(loss.parts, parts)


def test_state_holds_the_classifiers_and_the_classes(device):
    loss, _ = whole(device)
    assert set(loss.state_dict()) == {"identity_weight", "view_weight", "present"}


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"num_identities": 0}, "num_identities must be at least 1, got 0"),
        ({"num_identities": 2**30}, r"num_identities \* num_views must be below 2\*\*31 classes"),
        ({"alpha": 0.7}, r"alpha must be in \[0, 0.5\], got 0.7"),
        ({"labels": "soft"}, "labels must be one of adaptive, fixed, hard, got 'soft'"),
        ({"regularisation": "l2"}, "regularisation must be one of angular, euclidean, got 'l2'"),
        ({"present": torch.ones(4, 3)}, r"present must be bool of shape \(4, 3\), got torch.float"),
        ({"present": torch.ones(3, 4) > 0}, r"present must be bool of shape \(4, 3\), got .*bool"),
    ],
)
def test_module_rejects_by_name(changed, message):
    with pytest.raises(ValueError, match="ViewpointAwareLoss: " + message):
        losses.ViewpointAwareLoss(**{"num_identities": 4, "feature_dim": 2} | changed)
