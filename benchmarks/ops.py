"""Times each op, compared with plain PyTorch and with a matrix product.

    python benchmarks/ops.py                      # one CPU thread, CPU seconds
    python benchmarks/ops.py --device cuda --json benchmarks/results/ops.json

"eager" is an implementation without this package: it uses the whole matrix, masks and autograd.
Times are in milliseconds and include the backward pass if there is one. "speed-up" is eager /
ours. "products" is ours divided by one matrix product by torch.mm.
"""

import measure
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import ops

SIZES = [(64, 2048), (256, 2048), (1024, 512), (1024, 2048), (4096, 512)]
IMAGES_PER_IDENTITY = 4
RANKED = [(1000, 5000, 512), (1000, 5000, 2048)]  # queries, gallery, D


def eager_hardest(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine distances of the hardest positive and negative, from the N x N matrix."""
    unit = F.normalize(x)
    distance = 1 - unit @ unit.T
    same = labels[:, None] == labels[None]
    others = same & ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    positive = distance.masked_fill(~others, -torch.inf).amax(1)
    return positive, distance.masked_fill(same, torch.inf).amin(1)


def eager_expat(x: Tensor, labels: Tensor) -> Tensor:
    positive, negative = eager_hardest(x, labels)
    return torch.exp(F.relu(1 - negative) - (1 - positive) + 1).mean()


def eager_cosine(x: Tensor) -> Tensor:
    unit = F.normalize(x)
    return unit @ unit.T


def backward_of(function, x: Tensor, *rest):
    """A function that runs the op on x and its backward pass."""

    def run():
        x.grad = None
        out = function(x, *rest)
        out.backward(torch.ones_like(out))

    return run


def batch_ops(args):
    for n, d in SIZES:
        x = torch.randn(n, d, device=args.device, requires_grad=True)
        labels = torch.arange(n, device=args.device) // IMAGES_PER_IDENTITY
        with torch.no_grad():
            product = {"product": lambda x=x: x @ x.T}
        pairs = {
            "cosine_matrix": (eager_cosine, ops.cosine_matrix, ()),
            "mine_hardest (Euclidean triplet)": (_eager_triplet, _triplet, (labels,)),
            "expat_loss": (eager_expat, ops.expat_loss, (labels,)),
        }
        for name, (eager, ours, rest) in pairs.items():
            seconds = measure.alternately(
                {
                    **product,
                    "eager": backward_of(eager, x, *rest),
                    "ours": backward_of(ours, x, *rest),
                },
                args,
            )
            yield row(name, f"{n} x {d}", seconds)


def _eager_triplet(x: Tensor, labels: Tensor) -> Tensor:
    distance = torch.cdist(x, x)
    same = labels[:, None] == labels[None]
    positive = distance.masked_fill(~same, -torch.inf).amax(1)
    negative = distance.masked_fill(same, torch.inf).amin(1)
    return F.relu(positive - negative + 0.3).mean()


def _triplet(x: Tensor, labels: Tensor) -> Tensor:
    pairs = ops.mine_hardest(x, labels, metric="euclidean")
    return F.relu(pairs.positive_distance - pairs.negative_distance + 0.3).mean()


def lists(mask: Tensor) -> ops.Lists:
    """CSR lists of the true columns of each row."""
    counts = torch.cat([mask.new_zeros(1, dtype=torch.int64), mask.sum(1)])
    return ops.Lists(counts.cumsum(0), mask.nonzero()[:, 1].contiguous())


def eager_ranks(query: Tensor, gallery: Tensor, positive: np.ndarray, junk: np.ndarray):
    """Sort every row of the distance matrix, as most evaluators do."""
    order = np.argsort((1 - query @ gallery.T).cpu().numpy(), axis=1)
    ranked = np.take_along_axis(positive, order, 1)
    kept = ~np.take_along_axis(junk, order, 1)
    return kept.cumsum(1)[ranked]


def ranking(args):
    for q, g, d in RANKED:
        identity = torch.arange(g) % 100, torch.arange(q) % 100
        centres = torch.randn(100, d)
        gallery, query = (F.normalize(centres[i] + 6 * torch.randn(len(i), d)) for i in identity)
        gallery, query = gallery.to(args.device), query.to(args.device)
        same = identity[1][:, None] == identity[0]
        camera = (torch.arange(q)[:, None] // 100 + torch.arange(g) // 100) % 6 == 0
        positive, junk = same & ~camera, same & camera
        positives, left_out = (
            ops.Lists(*(t.to(args.device) for t in lists(mask))) for mask in (positive, junk)
        )
        masks = positive.numpy(), junk.numpy()
        seconds = measure.alternately(
            {
                "product": lambda q=query, g=gallery: q @ g.T,
                "eager": lambda q=query, g=gallery, m=masks: eager_ranks(q, g, *m),
                "ours": lambda q=query, g=gallery, p=positives, j=left_out: ops.rank_positives(
                    q, g, p, j
                ),
            },
            args,
        )
        yield row("rank_positives", f"{q} x {g} x {d}", seconds)


def row(op: str, size: str, seconds: dict[str, float]) -> dict:
    return {
        "op": op,
        "size": size,
        "product ms": 1e3 * seconds["product"],
        "eager ms": 1e3 * seconds["eager"],
        "ours ms": 1e3 * seconds["ours"],
        "speed-up": seconds["eager"] / seconds["ours"],
        "products": seconds["ours"] / seconds["product"],
    }


def main():
    args = measure.arguments(__doc__)
    torch.manual_seed(0)
    measure.show([*batch_ops(args), *ranking(args)], args)


if __name__ == "__main__":
    main()
