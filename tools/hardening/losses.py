"""Compares the gradient of every loss with automatic differentiation of its formula in float64.

One gradient is that of one input of one batch. The formulas in `reference` follow the papers. Of
equal distances the one with the lowest index is the hardest, as documented. Most batches are small,
so that special cases are frequent; some exceed the tiles of the kernels.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from part import Budget, Failures, Row, attempt
from reference import pairwise_losses as formulas
from reference.choices import watched
from reference.classification_losses import TARGETS, label_smoothing, viewpoint
from reference.distances import cosines
from torch import Tensor

from reid_ext import losses, ops

DTYPES = {torch.float64: 1e-7, torch.float32: 2e-3}  # dtype -> tolerance of the gradients
CLEARLY = {torch.float64: 1e-6, torch.float32: 1e-4}  # closer values count as equal
LARGE = 100  # every 100th batch is large
SPECIAL = ("plain", "zero", "equal", "opposite", "short")
Loss = Callable[..., Tensor]


def attack(budget: Budget) -> Iterator[Row]:
    """Check gradients until their number or the time is reached."""
    torch.set_num_threads(1)
    torch.ones(
        1, requires_grad=True
    ).sum().backward()  # torch loads libraries here, which takes seconds
    _one(CHECKS["cosine matrix"], [budget.seed, 0], Failures())
    for name, check in CHECKS.items():
        wanted = budget.amount(4_000, 100_000) // len(CHECKS) + 1
        done, failures = 0, Failures()
        for number, _ in budget.share(1 / len(CHECKS)).numbers(1 << 40):
            done += _one(check, [budget.seed, len(name), number], failures)
            if done >= wanted:
                break
        yield Row(f"gradients, {name}, against float64", done, failures.lines())


def _one(check: Callable[..., int], seed: list[int], failures: Failures) -> int:
    rng = np.random.default_rng(seed)
    sizes = {"rows": int(rng.integers(0, 25)), "keys": int(rng.integers(0, 30))}
    sizes["dim"] = int(rng.choice([1, 2, 7, 16, 33]))
    if seed[-1] % LARGE == LARGE - 1:
        sizes = {"rows": int(rng.integers(1300)), "keys": int(rng.integers(2500))}
        sizes["dim"] = int(rng.choice([2, 7]))

    return attempt(check, [*seed, 1], sizes, failures, {"dim": 1})


def features(rng: np.random.Generator, n: int, dim: int, dtype: torch.dtype) -> Tensor:
    """Rows of which some are zero, equal, opposite or short."""
    x = rng.standard_normal((n, dim))
    if rng.random() < 0.3:
        x = rng.integers(-2, 3, (n, dim)) * 1.0
    if rng.random() < 0.5:
        for row in range(1, n):
            kind = SPECIAL[rng.integers(5)]
            scale = {"zero": 0, "equal": 1, "opposite": -1}.get(kind)
            x[row] = (
                x[row] * (1e-6 if kind == "short" else 1) if scale is None else x[row - 1] * scale
            )
    return torch.tensor(x).to(dtype)


def laid_out(rng: np.random.Generator, x: Tensor) -> Tensor:
    """The same values, contiguous or as a strided view."""
    how = rng.integers(4)
    if how == 1:
        return torch.stack([x, x], 2)[:, :, 1]
    if how == 2:
        return x.T.contiguous().T
    if how == 3:
        return torch.cat([x, x], 1)[:, x.shape[1] :]
    return x


def gradients(loss: Loss, inputs: list[Tensor], *rest: Any, **options: Any):
    """The loss and its gradient with respect to each input."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    value = loss(leaves, *rest, **options)
    return value.detach(), torch.autograd.grad(value, leaves, allow_unused=True)


def agree(
    got_loss: Loss, want_loss: Loss, inputs: list[Tensor], rng: np.random.Generator, what: str
) -> int:
    """Check that values and gradients agree; return the number of gradients, 0 if ambiguous."""
    dtype = inputs[0].dtype
    with watched(CLEARLY[dtype]) as choices:
        want, want_grads = gradients(want_loss, [x.double() for x in inputs])
    if not choices.clear:
        return 0  # rounding may select the other of two nearly equal distances
    got, got_grads = gradients(got_loss, [laid_out(rng, x) for x in inputs])
    near = DTYPES[dtype]
    torch.testing.assert_close(
        got.double(), want, rtol=near, atol=near, equal_nan=True, msg=lambda m: f"{what}: value {m}"
    )
    for x, a, b in zip(inputs, got_grads, want_grads, strict=True):
        a = torch.zeros_like(x) if a is None else a
        b = torch.zeros_like(x).double() if b is None else b
        length = x.double().norm(dim=1, keepdim=True)
        length = torch.where(length == 0, 1, length).clamp(
            max=1
        )  # gradients are proportional to 1 / |x|
        a, b = a.double() * length, b * length
        size = float(b.abs().max()) if b.numel() else 0.0
        torch.testing.assert_close(
            a, b, rtol=near, atol=near * (size + 0.1), msg=lambda m: f"{what}: gradient {m}"
        )
    return len(inputs)


def batch(rng: np.random.Generator, sizes: dict[str, int]):
    """Features and identities and, with probability 0.4, keys and their identities."""
    dtype = list(DTYPES)[rng.integers(2)]
    identities = rng.choice([1, 2, 4, 40])
    x = features(rng, sizes["rows"], sizes["dim"], dtype)
    labels = torch.tensor(rng.integers(-1, identities, len(x)))
    if rng.random() < 0.6:
        return [x], labels, None
    keys = features(rng, sizes["keys"], sizes["dim"], dtype)
    return [x, keys], labels, torch.tensor(rng.integers(-1, identities, len(keys)))


def of_pairs(module: torch.nn.Module, formula: Callable[..., Tensor], **options: Any):
    """A check of a loss over the pairs of a batch, or over the pairs of a batch and keys."""

    def check(rng: np.random.Generator, sizes: dict[str, int]) -> int:
        inputs, labels, key_labels = batch(rng, sizes)

        def got(leaves: list[Tensor]) -> Tensor:
            keys = {"keys": leaves[1], "key_labels": key_labels} if len(leaves) > 1 else {}
            return module(leaves[0], labels, **keys)

        def want(leaves: list[Tensor]) -> Tensor:
            keys = {"keys": leaves[1], "key_labels": key_labels} if len(leaves) > 1 else {}
            return formula(leaves[0], labels, **keys, **options)

        return agree(got, want, inputs, rng, str(inputs[0].dtype))

    return check


def check_modalities(rng: np.random.Generator, sizes: dict[str, int]) -> int:
    """Check expAT between two modalities with both aggregations."""
    x = features(rng, sizes["rows"], sizes["dim"], torch.float64)
    labels = torch.tensor(rng.integers(0, rng.choice([1, 3, 9]), len(x)))
    modalities = torch.tensor(rng.integers(0, 2, len(x)))
    options = {
        "alpha": float(rng.random()),
        "beta": float(rng.random()),
        "margin": float(rng.random()),
    }
    options["aggregation"] = ["mean_of_exp", "exp_of_mean"][rng.integers(2)]
    return agree(
        lambda leaves: ops.expat_loss(leaves[0], labels, modalities=modalities, **options),
        lambda leaves: formulas.expat_of_modalities(leaves[0], labels, modalities, **options),
        [x],
        rng,
        str(options),
    )


def check_triplets(rng: np.random.Generator, sizes: dict[str, int]) -> int:
    """Check expAT over given triplets."""
    dtype = list(DTYPES)[rng.integers(2)]
    inputs = [features(rng, sizes["rows"], sizes["dim"], dtype) for _ in range(3)]
    return agree(
        lambda leaves: ops.expat_triplet_loss(*leaves),
        lambda leaves: formulas.aggregated(formulas.triplet_exponents(*leaves), "mean_of_exp"),
        inputs,
        rng,
        str(dtype),
    )


def check_views(rng: np.random.Generator, sizes: dict[str, int]) -> int:
    """Check the softmax over identities and views, with missing classes and unknown views."""
    identities, views = int(rng.integers(1, 9)), int(rng.integers(1, 4))
    dtype = list(DTYPES)[rng.integers(2)]
    scale = rng.choice([1, 30, 1000])
    logits = torch.tensor(rng.standard_normal((sizes["rows"], identities * views)) * scale)
    labels = torch.tensor(rng.integers(0, identities, sizes["rows"]))
    view = torch.tensor(rng.integers(-1, views, sizes["rows"]))
    present = torch.tensor(rng.random((identities, views)) < 0.6)
    present[labels[view >= 0], view[view >= 0]] = True
    given = None if rng.random() < 0.3 else present
    options = {"num_views": views, "alpha": float(rng.random() / 2)}
    options["targets"] = TARGETS[rng.integers(3)]
    return agree(
        lambda leaves: ops.viewpoint_loss(leaves[0], labels, view, present=given, **options),
        lambda leaves: (
            viewpoint(leaves[0], labels, view, present=given, **options).nansum()
            / max(int((view >= 0).sum()), 1)
        ),
        [logits.to(dtype)],
        rng,
        f"{dtype}, {options}",
    )


def check_smoothing(rng: np.random.Generator, sizes: dict[str, int]) -> int:
    """Check adaptive label smoothing by the paper and by the released code."""
    classes = int(rng.integers(2, 40))
    dtype = list(DTYPES)[rng.integers(2)]
    logits = torch.tensor(rng.standard_normal((sizes["rows"], classes)) * rng.choice([1, 30, 1000]))
    labels = torch.tensor(rng.integers(0, classes, sizes["rows"]))
    options = {"alpha": float(rng.random()), "variant": ["paper", "released"][rng.integers(2)]}
    return agree(
        lambda leaves: ops.adaptive_label_smoothing_loss(leaves[0], labels, **options),
        lambda leaves: label_smoothing(leaves[0], labels, **options).sum() / max(len(labels), 1),
        [logits.to(dtype)],
        rng,
        f"{dtype}, {options}",
    )


def check_cosines(rng: np.random.Generator, sizes: dict[str, int]) -> int:
    """Check weighted sums of cosine matrices."""
    dtype = list(DTYPES)[rng.integers(2)]
    inputs = [features(rng, sizes[n], sizes["dim"], dtype) for n in ("rows", "keys")]
    weight = torch.tensor(rng.standard_normal((sizes["rows"], sizes["keys"])))
    return agree(
        lambda leaves: (ops.cosine_matrix(*leaves) * weight.to(dtype)).sum(),
        lambda leaves: (cosines(*leaves) * weight).sum(),
        inputs,
        rng,
        str(dtype),
    )


CHECKS: dict[str, Callable[..., int]] = {
    "expat": of_pairs(losses.ExpATLoss(), formulas.expat),
    "expat of means": of_pairs(
        losses.ExpATLoss(aggregation="exp_of_mean"), formulas.expat, aggregation="exp_of_mean"
    ),
    "expat of two modalities": check_modalities,
    "expat of triplets": check_triplets,
    "triplet": of_pairs(losses.TripletLoss(0.3), formulas.triplet, margin=0.3),
    "soft triplet": of_pairs(losses.TripletLoss(None), formulas.triplet, margin=None),
    "squared triplet": of_pairs(
        losses.TripletLoss(0.3, "squared_euclidean"),
        formulas.triplet,
        margin=0.3,
        metric="squared_euclidean",
    ),
    "cosine triplet": of_pairs(
        losses.TripletLoss(0.3, "cosine"), formulas.triplet, margin=0.3, metric="cosine"
    ),
    "fidi": of_pairs(losses.FIDILoss(), formulas.fidi),
    "fidi of unit rows": of_pairs(losses.FIDILoss(normalize=True), formulas.fidi, normalize=True),
    "contrastive": of_pairs(losses.ContrastiveLoss(), formulas.contrastive),
    "circle": of_pairs(losses.CircleLoss(gamma=16.0), formulas.circle, gamma=16.0),
    "multi-similarity": of_pairs(losses.MultiSimilarityLoss(), formulas.multi_similarity),
    "viewpoint": check_views,
    "label smoothing": check_smoothing,
    "cosine matrix": check_cosines,
}
