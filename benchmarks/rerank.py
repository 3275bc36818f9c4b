"""Times re-ranking, compared with dense NumPy code and with the matrix product of all pairs.

    python benchmarks/rerank.py                        # one CPU thread, CPU seconds; minutes
    python benchmarks/rerank.py --sizes 3368x15913x2048 --json benchmarks/results/rerank.json
    python benchmarks/rerank.py --sizes 11659x82161x512 --threads 2 --top 100 --without-numpy

A size is queries x gallery x D. "product" is torch.mm of all N x N pairs in blocks. "own product"
is the same product by the library that this package uses. "nearest" is the part of our code that
computes the products. "NumPy" is an implementation without this package: it holds matrices over
all pairs, sorts rows and loops over images.
"""

import sys

import measure
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import ops, rerank

SIZES = ["100x500x512", "500x2500x512"]
IMAGES_PER_IDENTITY = 20
BLOCK_ROWS = 512
METRIC = "squared_euclidean"  # that of the released code


def features(q: int, g: int, d: int, device: str) -> tuple[Tensor, Tensor]:
    centres = torch.randn(max(1, (q + g) // IMAGES_PER_IDENTITY), d)
    of = torch.randint(len(centres), (q + g,))
    x = F.normalize(centres[of] + 1.2 * torch.randn(q + g, d)).to(device)
    return x[:q], x[q:]


def all_products(x: Tensor) -> None:
    """Compute the product of all pairs by torch.mm, one block of rows at a time."""
    for first in range(0, len(x), BLOCK_ROWS):
        torch.mm(x[first : first + BLOCK_ROWS], x.T)


def own_products(x: Tensor) -> None:
    """Compute the product as reid_ext does."""
    if x.device.type != "cpu":
        return all_products(x)
    for first in range(0, len(x), BLOCK_ROWS):
        torch.ops.reid_ext.products(x[first : first + BLOCK_ROWS], x)
    return None


def dense_numpy(query: np.ndarray, gallery: np.ndarray, k1=20, k2=6, lambda_value=0.3):
    """The steps of the paper in float32 with matrices over all pairs."""
    x = np.concatenate([query, gallery])
    d = 2 - 2 * x @ x.T
    p = (d / d.max(axis=1, keepdims=True)) ** 2
    order = p.argsort(axis=1)

    def mutual(i, k):
        forward = order[i, : k + 1]
        return forward[(order[forward, : k + 1] == i).any(axis=1)]

    v = np.zeros_like(p)
    for i in range(len(x)):
        base = mutual(i, k1)
        members = [base]
        for c in base:
            half = mutual(c, round(k1 / 2))
            if 3 * len(np.intersect1d(half, base, assume_unique=True)) > 2 * len(half):
                members.append(half)
        at = np.unique(np.concatenate(members))
        weights = np.exp(-p[i, at])
        v[i, at] = weights / weights.sum()
    v = np.stack([v[order[i, :k2]].mean(axis=0) for i in range(len(x))])
    columns = [np.flatnonzero(v[:, h]) for h in range(len(x))]
    final = np.empty((len(query), len(gallery)), np.float32)
    for i in range(len(query)):
        least = np.zeros(len(x), np.float32)
        for h in np.flatnonzero(v[i]):
            least[columns[h]] += np.minimum(v[i, h], v[columns[h], h])
        jaccard = 1 - least / (2 - least)
        final[i] = ((1 - lambda_value) * jaccard + lambda_value * p[i])[len(query) :]
    return final


def row(size: str, args) -> dict:
    q, g, d = (int(n) for n in size.split("x"))
    query, gallery = features(q, g, d, args.device)
    x = torch.cat([query, gallery])
    variants = {
        "product": lambda: all_products(x),
        "own product": lambda: own_products(x),
        "nearest": lambda: ops.nearest(x, 21, metric=METRIC),
        "ours": lambda: rerank(query, gallery, metric=METRIC, top=args.top),
    }
    arrays = query.cpu().numpy(), gallery.cpu().numpy()
    if not args.without_numpy:
        variants["NumPy"] = lambda: dense_numpy(*arrays)
        if args.top is None:
            ours = rerank(query, gallery, metric=METRIC).cpu().numpy()
            difference = np.abs(dense_numpy(*arrays) - ours).max()
            print(f"{size}: largest difference {difference:.1e}", file=sys.stderr)
    seconds = measure.alternately(variants, args, rounds=args.rounds)
    result: dict = {"size": size, **{f"{name} s": value for name, value in seconds.items()}}
    for name in ("product", "own product"):
        result[f"ours / {name}"] = seconds["ours"] / seconds[name]
    if not args.without_numpy:
        result["NumPy / ours"] = seconds["NumPy"] / seconds["ours"]
    return result


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="QxGxD")
    parser.add_argument("--top", type=int, help="images to return per query (default: all)")
    parser.add_argument(
        "--rounds", type=int, default=1, help="minimum number of runs of each variant"
    )
    parser.add_argument("--without-numpy", action="store_true")
    args = measure.parsed(parser)
    torch.manual_seed(0)
    measure.show([row(size, args) for size in args.sizes], args)


if __name__ == "__main__":
    main()
