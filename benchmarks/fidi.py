"""Time FIDI, forward and backward, against plain PyTorch, and against one matrix product.

    python benchmarks/fidi.py --dims 512 2048 --rows 64 256 1024 4096
    python benchmarks/fidi.py --json > results.json

On the CPU it takes process time on one thread; with --device cuda, events. Each figure is the
fastest of several calls, and the contenders take turns, so that a busy machine is busy for all.
"eager" is the loss as one would write it; "product" is one bare x @ x.T, a floor for both.
"""

import argparse
import json
import platform
import time

import torch
from torch import Tensor

import reid_ext
from reid_ext import ops

IMAGES = 4  # per identity
ALPHA, BETA = 1.05, 0.5


def distances_by_product(x: Tensor) -> Tensor:
    squares = x.square().sum(1)
    return (squares[:, None] + squares - 2 * x @ x.T).clamp(min=1e-12).sqrt()


def eager(x: Tensor, labels: Tensor, distances=distances_by_product) -> Tensor:
    u = torch.exp(-BETA * distances(x)).clamp(1e-8, 1 - 1e-8)
    c = ALPHA - 1
    same = labels[:, None] == labels
    positive = u * torch.log(ALPHA * u / (c * u + 1)) + torch.log(ALPHA / (c + u))
    negative = u * torch.log(torch.tensor(ALPHA / c))
    others = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    return (torch.where(same, positive, negative) * others).sum() / others.sum()


def eager_cdist(x: Tensor, labels: Tensor) -> Tensor:
    return eager(x, labels, lambda x: torch.cdist(x, x))


def with_backward(loss):
    def step(x: Tensor, labels: Tensor) -> None:
        leaf = x.detach().requires_grad_()
        loss(leaf, labels).backward()

    return step


CONTENDERS = {
    "product": lambda x, labels: x @ x.T,
    "reid_ext": with_backward(ops.fidi_loss),
    "eager": with_backward(eager),
    "eager cdist": with_backward(eager_cdist),
}


def milliseconds(step, x: Tensor, labels: Tensor) -> float:
    if x.is_cuda:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        step(x, labels)
        end.record()
        end.synchronize()
        return start.elapsed_time(end)
    before = time.process_time()
    step(x, labels)
    return 1e3 * (time.process_time() - before)


def measure(rows: int, dim: int, seconds: float, device: str) -> dict[str, float]:
    """Milliseconds of each contender, the fastest of at least four turns."""
    x = torch.randn(rows, dim, device=device) * (8 / dim**0.5)
    labels = torch.arange(rows, device=device) // IMAGES
    best = dict.fromkeys(CONTENDERS, float("inf"))
    end, turn = time.monotonic() + seconds, 0
    while turn < 4 or time.monotonic() < end:
        turn += 1
        for name, step in CONTENDERS.items():
            best[name] = min(best[name], milliseconds(step, x, labels))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[64, 128, 256, 1024, 4096])
    parser.add_argument("--dims", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--seconds", type=float, default=3, help="per size")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="figures and machine, as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    figures = []
    if not args.json:
        print("   D      N" + "".join(f"{name:>13}" for name in CONTENDERS) + "   eager/ours")
    for dim in args.dims:
        for rows in args.rows:
            ms = measure(rows, dim, args.seconds, args.device)
            figures.append({"dim": dim, "rows": rows, "milliseconds": ms})
            if not args.json:
                times = "".join(f"{ms[name]:>13.2f}" for name in CONTENDERS)
                print(f"{dim:>4}{rows:>7}{times}{ms['eager'] / ms['reid_ext']:>13.1f}", flush=True)
    if args.json:
        machine = platform.processor() or platform.machine()
        build = reid_ext.build_info()
        print(json.dumps({"machine": machine, "build": build, "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
