"""torch.func on the ops: comparison of gradients with backward() and of vmap with a loop."""

import pytest
import torch

from reid_ext import losses, ops

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
FUNCTIONS = {
    "cosine_matrix": lambda x: ops.cosine_matrix(x).square().sum(),
    "mine_hardest": lambda x: losses.TripletLoss()(x, LABELS),
    "expat_loss": lambda x: ops.expat_loss(x, LABELS),
    "expat_triplet_loss": lambda x: ops.expat_triplet_loss(x[:2], x[2:4], x[4:]),
    "fidi_loss": lambda x: ops.fidi_loss(x, LABELS),
    "viewpoint_loss": lambda x: ops.adaptive_label_smoothing_loss(x, LABELS),
}

every = pytest.mark.parametrize("op", FUNCTIONS)
# vmap warns that it calls a kernel once per problem
stacks = pytest.mark.filterwarnings("ignore:There is a performance drop")


@pytest.fixture
def x():
    return torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))


def by_backward(op, x):
    leaf = x.clone().requires_grad_()
    FUNCTIONS[op](leaf).backward()
    return leaf.grad


@every
def test_func_grad_and_vjp_match_backward(op, x):
    want = by_backward(op, x[0])
    assert torch.equal(torch.func.grad(FUNCTIONS[op])(x[0]), want)
    _, vjp = torch.func.vjp(FUNCTIONS[op], x[0])
    assert torch.equal(vjp(torch.tensor(1.0))[0], want)


@every
@stacks
def test_func_vmap_matches_a_loop(op, x):
    got = torch.func.vmap(torch.func.grad_and_value(FUNCTIONS[op]))(x)
    assert torch.equal(got[0], torch.stack([by_backward(op, one) for one in x]))
    assert torch.equal(got[1], torch.stack([FUNCTIONS[op](one) for one in x]))


@stacks
def test_func_jacobian_matches_rows(x):
    got = torch.func.jacrev(ops.cosine_matrix)(x[0])
    for row, column in ((0, 1), (2, 5)):
        leaf = x[0].clone().requires_grad_()
        ops.cosine_matrix(leaf)[row, column].backward()
        torch.testing.assert_close(got[row, column], leaf.grad)


@every
def test_func_raises_for_second_derivative(op, x):
    def gradient(x):
        return torch.func.grad(FUNCTIONS[op])(x).sum()

    with pytest.raises(RuntimeError, match=f"{op} is differentiable once"):
        torch.func.grad(gradient)(x[0])
