"""Times the pairwise losses, forward and backward, compared with common alternatives.

    python benchmarks/losses.py                   # one CPU thread, CPU seconds
    python benchmarks/losses.py --device cuda --json benchmarks/results/losses.json

Times are in milliseconds. "eager" is a direct implementation with the whole matrix, masks and
autograd. "gather" mines without a gradient and then gathers the pairs, which saves two products.
"metric-learning" is the miner and loss of pytorch-metric-learning with the same distance, if it
is installed. "products" is ours divided by one product x @ x.T by torch.mm.
"""

from collections.abc import Callable

import measure
import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import ops

try:
    from pytorch_metric_learning import distances, losses, miners
except ImportError:
    losses = None

IMAGES = 4  # per identity
DIMENSIONS = (512, 2048)
BATCHES = (64, 128, 256, 1024, 4096)
MEMORY_BANK = 16384  # one round at D = 512, as eager code takes a minute and 8 GB
ALPHA, BETA = 1.05, 0.5  # parameters of FIDI


def masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Masks of the pairs with the same identity, and of the positive pairs."""
    same = labels[:, None] == labels
    return same, same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)


def eager_expat(x: Tensor, labels: Tensor) -> Tensor:
    unit = F.normalize(x)
    cosine = unit @ unit.T
    same, positive = masks(labels)
    hardest_positive = cosine.masked_fill(~positive, torch.inf).amin(1)
    hardest_negative = cosine.masked_fill(same, -torch.inf).amax(1)
    return torch.exp(F.relu(hardest_negative) - hardest_positive + 1).mean()


def gathered_expat(x: Tensor, labels: Tensor) -> Tensor:
    unit = F.normalize(x)
    with torch.no_grad():
        cosine = unit @ unit.T
        same, positive = masks(labels)
        p = cosine.masked_fill(~positive, torch.inf).argmin(1)
        n = cosine.masked_fill_(same, -torch.inf).argmax(1)
    cos_p, cos_n = (unit * unit[p]).sum(1), (unit * unit[n]).sum(1)
    return torch.exp(F.relu(cos_n) - cos_p + 1).mean()


def eager_triplet(x: Tensor, labels: Tensor) -> Tensor:
    distance = torch.cdist(x, x)
    same, positive = masks(labels)
    hardest_positive = distance.masked_fill(~positive, -torch.inf).amax(1)
    hardest_negative = distance.masked_fill(same, torch.inf).amin(1)
    return F.relu(hardest_positive - hardest_negative + 0.3).mean()


def gathered_triplet(x: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        distance = torch.cdist(x, x)
        same, positive = masks(labels)
        p = distance.masked_fill(~positive, -torch.inf).argmax(1)
        n = distance.masked_fill_(same, torch.inf).argmin(1)
    return F.relu((x - x[p]).norm(dim=1) - (x - x[n]).norm(dim=1) + 0.3).mean()


def our_triplet(x: Tensor, labels: Tensor) -> Tensor:
    pairs = ops.mine_hardest(x, labels, metric="euclidean")
    return F.relu(pairs.positive_distance - pairs.negative_distance + 0.3).mean()


def eager_fidi(x: Tensor, labels: Tensor) -> Tensor:
    squares = x.square().sum(1)
    distance = (squares[:, None] + squares - 2 * x @ x.T).clamp(min=1e-12).sqrt()
    u = torch.exp(-BETA * distance).clamp(1e-8, 1 - 1e-8)
    c = ALPHA - 1
    positive = u * torch.log(ALPHA * u / (c * u + 1)) + torch.log(ALPHA / (c + u))
    negative = u * torch.log(torch.tensor(ALPHA / c))
    same, _ = masks(labels)
    others = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    return (torch.where(same, positive, negative) * others).sum() / others.sum()


def metric_learning(distance: str, **options) -> Callable[[Tensor, Tensor], Tensor] | None:
    """The batch-hard triplet loss of pytorch-metric-learning with the given distance class."""
    if losses is None:
        return None
    measured_by = getattr(distances, distance)(**options)
    miner = miners.BatchHardMiner(distance=measured_by)
    loss = losses.TripletMarginLoss(margin=0.3, distance=measured_by)
    return lambda x, labels: loss(x, labels, miner(x, labels))


LOSSES = {
    "expat": {
        "eager": eager_expat,
        "gather": gathered_expat,
        "metric-learning": metric_learning("CosineSimilarity"),
        "ours": ops.expat_loss,
    },
    "triplet": {
        "eager": eager_triplet,
        "gather": gathered_triplet,
        "metric-learning": metric_learning("LpDistance", normalize_embeddings=False),
        "ours": our_triplet,
    },
    "fidi": {"eager": eager_fidi, "ours": ops.fidi_loss},
}


def step(loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, labels: Tensor):
    """A function that runs the loss and its backward pass."""
    leaf = x.detach().requires_grad_()

    def run():
        leaf.grad = None
        loss(leaf, labels).backward()

    return run


def row(name: str, n: int, d: int, args, rounds: int = 5) -> dict:
    x = torch.randn(n, d, device=args.device) * (8 / d**0.5)
    labels = torch.arange(n, device=args.device) // IMAGES
    variants = {key: step(loss, x, labels) for key, loss in LOSSES[name].items() if loss}
    seconds = measure.alternately({"product": lambda: x @ x.T, **variants}, args, rounds)
    ours = seconds["ours"]

    def milliseconds(key: str) -> float | str:
        return 1e3 * seconds[key] if key in seconds else "-"

    def ratio(key: str) -> float | str:
        return seconds[key] / ours if key in seconds else "-"

    return {
        "loss": name,
        "size": f"{n} x {d}",
        "product": milliseconds("product"),
        "ours": milliseconds("ours"),
        "eager / ours": ratio("eager"),
        "gather / ours": ratio("gather"),
        "metric-learning / ours": ratio("metric-learning"),
        "products": ours / seconds["product"],
    }


def main():
    args = measure.arguments(__doc__)
    torch.manual_seed(0)
    rows = [row(name, n, d, args) for name in LOSSES for d in DIMENSIONS for n in BATCHES]
    rows += [row(name, MEMORY_BANK, 512, args, rounds=1) for name in LOSSES]
    measure.show(rows, args)


if __name__ == "__main__":
    main()
