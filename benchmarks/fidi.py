"""FIDI, forward and backward, against plain PyTorch and against one bare matrix product.

    python benchmarks/fidi.py                     # one CPU thread, CPU seconds
    python benchmarks/fidi.py --device cuda --json benchmarks/results/fidi.json

"eager" is the loss as one would write it, its distances from the product; "cdist" takes them from
torch.cdist. Times are milliseconds; "products" is ours / one bare x @ x.T.
"""

import measure
import torch
from torch import Tensor

from reid_ext import ops

IMAGES = 4  # per identity
ALPHA, BETA = 1.05, 0.5
SIZES = [(n, d) for d in (512, 2048) for n in (64, 256, 1024, 4096)]


def by_product(x: Tensor) -> Tensor:
    squares = x.square().sum(1)
    return (squares[:, None] + squares - 2 * x @ x.T).clamp(min=1e-12).sqrt()


def eager(x: Tensor, labels: Tensor, distances=by_product) -> Tensor:
    u = torch.exp(-BETA * distances(x)).clamp(1e-8, 1 - 1e-8)
    c = ALPHA - 1
    same = labels[:, None] == labels
    positive = u * torch.log(ALPHA * u / (c * u + 1)) + torch.log(ALPHA / (c + u))
    negative = u * torch.log(torch.tensor(ALPHA / c))
    others = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    return (torch.where(same, positive, negative) * others).sum() / others.sum()


def eager_cdist(x: Tensor, labels: Tensor) -> Tensor:
    return eager(x, labels, lambda x: torch.cdist(x, x))


def step(loss, x: Tensor, labels: Tensor):
    """A call that runs the loss and its backward pass."""

    def run():
        leaf = x.detach().requires_grad_()
        loss(leaf, labels).backward()

    return run


def row(n: int, d: int, args) -> dict:
    x = torch.randn(n, d, device=args.device) * (8 / d**0.5)
    labels = torch.arange(n, device=args.device) // IMAGES
    losses = {"eager": eager, "cdist": eager_cdist, "ours": ops.fidi_loss}
    variants = {name: step(loss, x, labels) for name, loss in losses.items()}
    seconds = measure.alternately({"product": lambda: x @ x.T, **variants}, args)
    return {
        "size": f"{n} x {d}",
        **{f"{name} ms": 1e3 * value for name, value in seconds.items()},
        "eager / ours": seconds["eager"] / seconds["ours"],
        "products": seconds["ours"] / seconds["product"],
    }


def main():
    args = measure.arguments(__doc__)
    torch.manual_seed(0)
    measure.show([row(n, d, args) for n, d in SIZES], args)


if __name__ == "__main__":
    main()
