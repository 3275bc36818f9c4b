"""``reid-ext bench``: the time of each op, relative to a plain matrix product."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from reid_ext import ops
from reid_ext._runtime.arguments import integer, number
from reid_ext._runtime.progress import Progress
from reid_ext.cli.command import (
    Result,
    Table,
    add_command,
    add_device,
    add_json,
    group_of,
    read_device,
)

BATCHES = [(64, 512), (256, 2048), (1024, 512)]  # images, features
GALLERIES = [(256, 4096, 512)]  # queries, gallery, features
IMAGES_PER_IDENTITY = 4
LEAST_ROUNDS = 3

Variants = dict[str, Callable[[], Any]]


def add_commands(groups: Any) -> None:
    """Add ``bench`` to the subparsers of the command line."""
    what = "time each op on this machine, relative to a matrix product"
    parser = add_command(groups, "bench", what, _bench)
    group = group_of(parser, "evaluation")
    add_device(group)
    what = "number of CPU threads (default: the setting of torch)"
    group.add_argument("--threads", type=int, metavar="N", help=what)
    what = "seconds to spend on each row of the table (default: 0.5)"
    group.add_argument("--seconds", type=float, default=0.5, metavar="S", help=what)
    add_json(parser)


def _bench(args: argparse.Namespace) -> Result:
    device = read_device(args.device)
    threads = torch.get_num_threads()
    if args.threads is not None:
        integer("bench", "threads", args.threads, 1)
    number("bench", "seconds", args.seconds, 0)
    torch.set_num_threads(args.threads or threads)
    try:
        rows = list(_rows(device, args.seconds))
    finally:
        torch.set_num_threads(threads)
    cells = [
        [row["op"], row["size"], f"{row['milliseconds']:.3g}", f"{row['products']:.2f}"]
        for row in rows
    ]
    facts = {"ok": True, "device": str(device), "threads": args.threads or threads, "rows": rows}
    note = "products: time of the op divided by the time of torch.mm on the same rows"
    return Result([Table(["op", "size", "ms", "products"], cells), note], facts)


def _rows(device: torch.device, seconds: float) -> Iterator[dict[str, Any]]:
    problems = [_batch(n, d, device) for n, d in BATCHES]
    problems += [_gallery(q, g, d, device) for q, g, d in GALLERIES]
    with Progress(len(problems), "bench", unit="sizes") as progress:
        for size, variants in problems:
            taken = _alternately(variants, device, seconds * len(variants))
            product = taken.pop("product")
            for op, time_of in taken.items():
                yield {
                    "op": op,
                    "size": size,
                    "milliseconds": 1e3 * time_of,
                    "products": time_of / product,
                }
            progress.update()


def _batch(n: int, d: int, device: torch.device) -> tuple[str, Variants]:
    """The ops of a training batch, forward and backward."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator).to(device).requires_grad_()
    labels = torch.arange(n, device=device) // IMAGES_PER_IDENTITY
    plain = x.detach()

    def trained(loss: Callable[[], Tensor]) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(loss().sum(), x)

    return f"{n} x {d}", {
        "product": lambda: plain @ plain.T,
        "cosine_matrix": trained(lambda: ops.cosine_matrix(x)),
        "mine_hardest": lambda: ops.mine_hardest(plain, labels),
        "expat_loss": trained(lambda: ops.expat_loss(x, labels)),
        "fidi_loss": trained(lambda: ops.fidi_loss(x, labels)),
    }


def _gallery(queries: int, rows: int, d: int, device: torch.device) -> tuple[str, Variants]:
    """Ranking and search; every 64th gallery row matches a query."""
    generator = torch.Generator().manual_seed(0)
    q, g = (torch.randn(n, d, generator=generator).to(device) for n in (queries, rows))
    same = torch.arange(queries)[:, None] % 64 == torch.arange(rows) % 64
    offsets = torch.nn.functional.pad(same.sum(1).cumsum(0), (1, 0)).to(device)
    positives = ops.Lists(offsets, same.nonzero()[:, 1].contiguous().to(device))
    none = ops.Lists(torch.zeros_like(offsets), offsets[:0])
    return f"{queries} x {rows} x {d}", {
        "product": lambda: q @ g.T,
        "rank_positives": lambda: ops.rank_positives(q, g, positives, none),
        "nearest (10)": lambda: ops.nearest(q, 10, keys=g),
    }


def _alternately(variants: Variants, device: torch.device, seconds: float) -> dict[str, float]:
    """Median seconds of each; they take turns, so that a busy moment affects all of them."""

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    taken: dict[str, list[float]] = {name: [] for name in variants}
    for run in variants.values():
        run()  # once before the clock starts
    end, rounds = clock() + seconds, 0
    while rounds < LEAST_ROUNDS or clock() < end:
        for name, run in variants.items():
            start = clock()
            run()
            taken[name].append(clock() - start)
        rounds += 1
    return {name: statistics.median(values) for name, values in taken.items()}
