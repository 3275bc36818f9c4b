"""The functions that check arguments: which values they accept, and the errors they raise."""

import copy
import pickle

import numpy as np
import pytest
import torch

import reid_ext
from reid_ext import ArgumentError, losses, ops
from reid_ext._runtime import arguments

X = torch.arange(6.0).reshape(3, 2)
Y = torch.tensor([0, 0, 1])


def test_argument_error_has_fields_and_message():
    error = ArgumentError("search", "k", "be at most 3", "5", "ask for fewer")
    fields = error.function, error.argument, error.requirement, error.value, error.advice
    assert fields == ("search", "k", "be at most 3", "5", "ask for fewer")
    assert str(error) == "search: k must be at most 3, got 5; ask for fewer"
    assert str(ArgumentError("search", "k", "be 3", "5")) == "search: k must be 3, got 5"
    assert isinstance(error, ValueError) and reid_ext.ArgumentError is ArgumentError


@pytest.mark.parametrize("copied", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_argument_error_can_be_copied_and_pickled(copied):
    error = copied(ArgumentError("f", "a", "be float32 like", "int64", "cast it", like="x"))
    assert str(error) == "f: a must be float32 like x, got int64; cast it"
    assert (error.requirement, error.like) == ("be float32 like x", "x")


def test_argument_error_renames_function_and_arguments():
    error = ArgumentError("expat_loss", "keys", "have dtype float32 like", "float64", like="x")
    named = error.named("ExpATLoss", x="features")
    assert str(named) == "ExpATLoss: keys must have dtype float32 like features, got float64"
    assert named.named("Loss", keys="memory").argument == "memory"
    assert error.function == "expat_loss"


@pytest.mark.parametrize(
    "text, fields",
    [
        ("nearest: k must be 1, got 0", ("nearest", "k", "be 1", "0", "", "")),
        (
            "check_like, csrc/common/check.h:62, f: y must have shape (2,) to go with x, got (3,)",
            ("f", "y", "have shape (2,) to go with x", "(3,)", "", "x"),
        ),
        (
            "f: x must be float32, got Long; cast it",
            ("f", "x", "be float32", "Long", "cast it", ""),
        ),
        (
            "f: keys and key_labels must be given together, got only one of them",
            ("f", "keys and key_labels", "be given together", "only one of them", "", ""),
        ),
        (
            "f: x must be 1, got 2\nException raised from f at a.h:1",
            ("f", "x", "be 1", "2", "", ""),
        ),
    ],
)
def test_of_kernel_parses_errors_about_arguments(text, fields):
    error = ArgumentError.of_kernel(RuntimeError(text))
    got = error.function, error.argument, error.requirement, error.value, error.advice, error.like
    assert got == fields


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("expat_loss is differentiable once; a second derivative was asked for"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
)
def test_of_kernel_returns_other_errors_unchanged(error):
    assert ArgumentError.of_kernel(error) is error


ACCEPTED = {
    "choice": [("a", ("a", "b"), "a"), (np.int64(2), (1, 2), 2)],
    "integer": [(3, 0, 3), (np.uint8(3), 0, 3), (2**63 - 1, 0, 2**63 - 1)],
    "number": [(1, 0, 1.0), (0.5, 0, 0.5), (np.float32(0.5), 0, 0.5), (torch.tensor(2.0), 0, 2.0)],
}
REFUSED = {
    "choice": [("c", ("a", "b")), (True, (1, 2)), (["a"], ("a", "b")), (np.array(["a"]), ("a",))],
    "integer": [(-1, 0), (1.0, 0), (True, 0), ("1", 0), (2**63, 0), (None, 0)],
    "number": [(-1, 0), ("1", 0), (True, 0), (1j, 0), (float("nan"), 0), (float("inf"), 0)],
}
REFUSED["number"] += [(torch.ones((), requires_grad=True), 0), (np.ones(2), 0), (None, 0)]


@pytest.mark.parametrize("reader", ACCEPTED)
def test_reader_returns_plain_values(reader):
    for value, limit, want in ACCEPTED[reader]:
        got = getattr(arguments, reader)("f", "a", value, limit)
        assert got == want and (reader == "choice" or type(got) is type(want))


@pytest.mark.parametrize("reader", REFUSED)
def test_reader_raises_for_invalid_values(reader):
    for value, limit in REFUSED[reader]:
        with pytest.raises(ArgumentError, match=r"^f: a must be .*, got "):
            getattr(arguments, reader)("f", "a", value, limit)


def test_number_error_contains_the_limits():
    with pytest.raises(ArgumentError, match=r"be a finite number > 0 and <= 1, got 0"):
        arguments.number("f", "a", 0, most=1, above=0)
    with pytest.raises(ArgumentError, match=r"be a finite number >= 0 and < 1, got 1"):
        arguments.number("f", "a", 1, 0, below=1)
    with pytest.raises(ArgumentError, match=r"be an integer >= 1 and at most 3 \(the rows\)"):
        arguments.integer("f", "k", 4, 1, 3, "the rows")


def test_flag_accepts_only_booleans():
    assert arguments.flag("f", "a", np.bool_(True)) is True
    for value in (1, None, "yes", torch.tensor(True)):
        with pytest.raises(ArgumentError, match="f: a must be True or False"):
            arguments.flag("f", "a", value)


def test_instance_error_contains_the_class():
    assert arguments.instance("f", "a", X, torch.Tensor) is X
    with pytest.raises(ArgumentError, match="f: a must be a Tensor, got 3"):
        arguments.instance("f", "a", 3, torch.Tensor)


def test_half_precision_labels_are_not_advised_to_be_converted():
    with pytest.raises(ArgumentError, match=r"got torch.float16; take the labels from before the"):
        arguments.integers("f", "labels", torch.tensor([2049, 2050]).half())


def test_features_keep_gradient_and_widen_half_types():
    x = X.clone().requires_grad_()
    assert arguments.features("f", "x", x) is x
    assert arguments.features("f", "x", X.half()).dtype == torch.float32
    for value in (X[0], X.int(), X.to_sparse(), X.numpy(), None):
        with pytest.raises(ArgumentError, match=r"^f: x must "):
            arguments.features("f", "x", value)
    with pytest.raises(ArgumentError, match=r"have shape \(N, 5\), got \(3, 2\)"):
        arguments.features("f", "x", X, 5)


def test_matrix_shares_memory_and_drops_gradient():
    array = X.numpy().copy()
    assert arguments.matrix("f", "x", array).data_ptr() == array.ctypes.data
    assert not arguments.matrix("f", "x", X.clone().requires_grad_()).requires_grad
    assert len(arguments.matrix("f", "x", X[:0], empty=True)) == 0
    for value in (X[:0], X[0], X.long(), X.to("meta"), [["a"]], np.ma.masked_array(array)):
        with pytest.raises(ArgumentError, match=r"^f: x must "):
            arguments.matrix("f", "x", value)


@pytest.mark.parametrize(
    "values", [[0, 0, 1], (0, 0, 1), np.array([0, 0, 1], ">i2"), Y.to(torch.uint16), Y]
)
def test_integers_convert_every_type_to_int64(values):
    for read in (arguments.integers("f", "y", values), arguments.labels("f", "y", values, X)):
        assert read.dtype == torch.int64 and torch.equal(read, Y)
    assert torch.equal(arguments.labels_of_rows("f", "y", values, "x", X), Y)


@pytest.mark.parametrize(
    "values", [[0.5, 1, 1], ["a"] * 3, X[:, 0], Y.bool(), [2**64, 0, 0], [[0], []]]
)
def test_integers_raise_for_other_values(values):
    with pytest.raises(ArgumentError, match=r"^f: y must ") as caught:
        arguments.integers("f", "y", values)
    assert ".long()" not in str(caught.value)


def test_labels_of_rows_check_length_and_device():
    with pytest.raises(ArgumentError, match=r"have shape \(3,\), one for each row of x"):
        arguments.labels_of_rows("f", "y", [0, 1], "x", X)
    with pytest.raises(ArgumentError, match="be on cpu like x, got meta"):
        arguments.labels_of_rows("f", "y", Y.to("meta"), "x", X)


def test_boolean_mask_checks_type_and_shape():
    mask = np.ones((2, 3), bool)
    assert arguments.boolean_mask("f", "m", mask, (2, 3)).all()
    for value in (mask.T, mask.astype(int), None, "mask", torch.ones(2, 3)):
        with pytest.raises(ArgumentError, match=r"^f: m must be bool of shape \(2, 3\)"):
            arguments.boolean_mask("f", "m", value, (2, 3))


@pytest.mark.parametrize("other", [X.double(), X[:, :1], X.to("meta")])
def test_alike_error_contains_both_arguments(other):
    with pytest.raises(ArgumentError, match=r"^f: y must have .* like x, got ") as caught:
        arguments.alike("f", "y", other, "x", X)
    assert caught.value.like == "x"


def test_finite_error_contains_the_row():
    with pytest.raises(ArgumentError, match="f: x must be finite, got NaN or infinity in row 1"):
        arguments.finite("f", "x", torch.tensor([[1.0], [float("inf")]]))


@pytest.mark.parametrize("mining", ["batch_hard", "random"])
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda f: f(X.numpy(), Y), "features must be a tensor"),
        (lambda f: f(X, Y[:2]), r"labels must have shape \(3,\)"),
        (lambda f: f(X, Y.float()), "labels must be integers"),
        (lambda f: f(X, Y, keys=X), "keys and key_labels must be given together"),
        (lambda f: f(X, Y, keys=X.double(), key_labels=Y), "keys must (have dtype|be) .* like f"),
    ],
)
def test_loss_raises_errors_with_its_own_name(mining, call, message):
    with pytest.raises(ArgumentError, match=f"^ExpATLoss: {message}") as caught:
        call(losses.ExpATLoss(mining=mining))
    assert " x," not in str(caught.value)


def test_torch_ops_raise_runtime_error():
    with pytest.raises(RuntimeError, match="nearest: count must be from 1 to the 3 keys, got 9"):
        torch.ops.reid_ext.nearest(X, None, 9, 0)
    with pytest.raises(ArgumentError, match=r"^nearest: count must be from 1 to the 3 keys"):
        ops.nearest(X, 9)
