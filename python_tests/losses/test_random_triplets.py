"""expAT with random triplets: allowed keys, uniform sampling, and the loss."""

from collections import Counter

import pytest
import torch
from torch.nn import functional as F

from reid_ext.losses import ExpATLoss
from reid_ext.losses._random_triplets import draw_triplets


def allowed(labels, key_labels, groups, key_groups, own):
    """Return the masks (N, M) of allowed positives and of allowed negatives."""
    same = labels[:, None] == key_labels
    other = torch.ones_like(same)
    if groups is not None:
        other = groups[:, None] != key_groups
    positive = same & other
    if own:
        positive &= ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return positive, ~same & other


@pytest.mark.parametrize("with_keys", [False, True])
@pytest.mark.parametrize("with_groups", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_random_triplets_are_allowed_and_marked_valid(with_keys, with_groups, seed, device):
    generator = torch.Generator().manual_seed(seed)

    def integers(high, n):
        return torch.randint(high, (n,), generator=generator).to(device)

    n, m = 17, 23
    labels = integers(6, n) * 2**40 - 7
    groups = integers(2, n) if with_groups else None
    key_labels = integers(6, m) * 2**40 - 7 if with_keys else None
    key_groups = integers(2, m) if with_keys and with_groups else None
    drawn = draw_triplets(labels, key_labels, groups, key_groups, None)
    of_keys = (labels, groups) if not with_keys else (key_labels, key_groups)
    positive, negative = allowed(labels, of_keys[0], groups, of_keys[1], not with_keys)
    assert torch.equal(drawn.valid, positive.any(1) & negative.any(1))
    rows = torch.arange(n, device=device)
    assert positive[rows, drawn.positive][drawn.valid].all()
    assert negative[rows, drawn.negative][drawn.valid].all()


def test_random_triplets_are_sampled_uniformly():
    labels = torch.tensor([0, 1, 0, 1, 0, 2, 0])
    positives, negatives = Counter(), Counter()
    for seed in range(3000):
        drawn = draw_triplets(labels, None, None, None, torch.Generator().manual_seed(seed))
        positives[int(drawn.positive[2])] += 1
        negatives[int(drawn.negative[2])] += 1
    assert positives.keys() == {0, 4, 6} and negatives.keys() == {1, 3, 5}
    for count in (*positives.values(), *negatives.values()):
        assert abs(count - 1000) < 130  # five standard deviations


@pytest.mark.parametrize("aggregation", ["mean_of_exp", "exp_of_mean"])
def test_random_expat_loss_is_that_of_the_sampled_triplets(aggregation, device):
    x = torch.randn(12, 5, device=device, dtype=torch.float64, requires_grad=True)
    labels = torch.arange(12, device=device) // 2 % 3
    kind = torch.arange(12, device=device) % 2
    loss = ExpATLoss(0.5, 2.0, 3.0, aggregation, mining="random")
    torch.manual_seed(3)
    value = loss(x, labels, kind)
    torch.manual_seed(3)
    drawn = draw_triplets(labels, None, kind, None, None)
    cos_p = F.cosine_similarity(x, x[drawn.positive])
    cos_n = F.cosine_similarity(x, x[drawn.negative])
    exponent = cos_n.clamp(min=0) - cos_p + 0.5
    want = 0
    for weight, direction in ((2.0, 0), (3.0, 1)):
        e = exponent[kind == direction]
        want = want + weight * (e.exp().mean() if aggregation == "mean_of_exp" else e.mean().exp())
    torch.testing.assert_close(value, want)
    torch.testing.assert_close(*(torch.autograd.grad(v, x)[0] for v in (value, want)))


def test_random_triplets_depend_on_the_generator():
    x, labels = torch.randn(12, 5), torch.arange(12) // 4

    def value(seed):
        return ExpATLoss(mining="random", generator=torch.Generator().manual_seed(seed))(x, labels)

    assert value(0) == value(0) != value(1)


@pytest.mark.parametrize("rows, labels", [(0, []), (1, [4]), (3, [1, 1, 1]), (3, [1, 2, 3])])
@pytest.mark.parametrize("aggregation", ["mean_of_exp", "exp_of_mean"])
def test_random_expat_loss_is_zero_without_triplets(rows, labels, aggregation, device):
    x = torch.randn(rows, 4, device=device, requires_grad=True)
    loss = ExpATLoss(aggregation=aggregation, mining="random")
    value = loss(x, torch.tensor(labels, dtype=torch.int64, device=device))
    value.backward()
    assert value == 0 and not x.grad.any()


@pytest.mark.slow
def test_random_expat_loss_compiles_to_one_graph(device):
    compiled = torch.compile(ExpATLoss(mining="random"), fullgraph=True, backend="aot_eager")
    x, labels = torch.randn(12, 5, device=device), torch.arange(12, device=device) // 4
    assert compiled(x, labels).isfinite()


@pytest.mark.parametrize("argument, value", [("mining", "hard"), ("aggregation", "sum")])
def test_random_expat_loss_raises_for_invalid_choices(argument, value):
    with pytest.raises(ValueError, match=f"ExpATLoss: {argument} must be one of .* got '{value}'"):
        ExpATLoss(**{argument: value})
