"""Measures the bytes and CPU seconds of several processes, compared with a single process.

    python benchmarks/distributed.py                       # 1, 2 and 4 processes; minutes
    python benchmarks/distributed.py --json benchmarks/results/cpu-distributed.json

The total work is the same for any number of processes, and each process has one thread.

"MB in" is the data that a process receives from the others, counted at the calls of the
collectives. A gather or an exchange counts the rows of the other processes. A sum over W
processes counts 2 (W - 1) / W of its size, as in a ring. "CPU s, all" is the CPU time of all
processes together, including communication; divided by that of one process it is the overhead,
which does not depend on other load of the machine. "wall s" is the time of the slowest process,
which is meaningless with more processes than cores. Each figure is the best of the repeats.
"""

import sys
import tempfile
import time
from pathlib import Path

import galleries
import measure
import torch
from torch import distributed as dist
from torch import multiprocessing
from torch.nn import functional as F

from reid_ext import distributed, losses

WORLDS = (1, 2, 4)
LOSS = (2048, 512)
EVALUATED, RERANKED = (1000, 10_000, 500), (500, 4000, 250)
DIM = 512


class Counter:
    """Counts the bytes received by a process, by wrapping the collectives of torch."""

    def __init__(self):
        self.bytes = 0
        self._wrap("all_gather", lambda out, x: (len(out) - 1) * x.nbytes)
        self._wrap("all_reduce", lambda x: 2 * x.nbytes * (self.parts - 1) / self.parts)
        self._wrap("all_to_all_single", self._exchanged)

    @property
    def parts(self):
        return dist.get_world_size()

    def _exchanged(self, received, sent, lengths, splits):
        return received.nbytes * (1 - lengths[dist.get_rank()] / max(1, len(received)))

    def _wrap(self, name, size):
        called = getattr(dist, name)

        def counted(*tensors, **options):
            self.bytes += size(*tensors)
            return called(*tensors, **options)

        setattr(dist, name, counted)


def share(x, rank, parts):
    return x[len(x) * rank // parts : len(x) * (rank + 1) // parts]


def task_of_loss(rank, parts):
    n, d = LOSS
    labels = torch.arange(n) // 8
    x = F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(0)))
    mine, of_mine = share(x, rank, parts).clone().requires_grad_(), share(labels, rank, parts)
    loss = distributed.GlobalBatchLoss(losses.ExpATLoss())
    return lambda: loss(mine, of_mine).backward()


def task_of_evaluation(rank, parts):
    whole = galleries.make(EVALUATED, DIM, galleries.NOISE[0.5])
    query, gallery = (share(x, rank, parts) for x in (whole.query, whole.gallery))
    labels = {name: share(label, rank, parts) for name, label in whole.labels.items()}
    return lambda: distributed.evaluate(query, gallery, **labels)


def task_of_reranking(rank, parts):
    whole = galleries.make(RERANKED, DIM, galleries.NOISE[0.5])
    query, gallery = (share(x, rank, parts) for x in (whole.query, whole.gallery))
    return lambda: distributed.rerank(query, gallery)


TASKS = {
    f"loss, {LOSS[0]} x {LOSS[1]}": task_of_loss,
    f"evaluate, {EVALUATED[0]} x {EVALUATED[1]} x {DIM}": task_of_evaluation,
    f"rerank, {RERANKED[0]} x {RERANKED[1]} x {DIM}": task_of_reranking,
}


def worker(rank, parts, folder, repeats):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store{parts}", rank=rank, world_size=parts
    )
    counter, out = Counter(), {}
    for name, task in TASKS.items():
        run = task(rank, parts)
        run()
        cpu, wall = [], []
        for _ in range(repeats):
            dist.barrier()
            counter.bytes, begin, start = 0, time.process_time(), time.perf_counter()
            run()
            cpu.append(time.process_time() - begin)
            wall.append(time.perf_counter() - start)
        out[name] = {"bytes": counter.bytes, "cpu": cpu, "wall": wall}
    torch.save(out, Path(folder) / f"{parts}-{rank}.pt")
    dist.destroy_process_group()


def measured(parts, repeats):
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(worker, (parts, folder, repeats), nprocs=parts)
        return [torch.load(Path(folder) / f"{parts}-{rank}.pt") for rank in range(parts)]


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    args = measure.parsed(parser)
    rows = []
    for parts in WORLDS:
        results = measured(parts, args.repeats)
        print(f"{parts} processes measured", file=sys.stderr)
        for name in TASKS:
            of_task = [result[name] for result in results]
            rows.append(
                {
                    "task": name,
                    "processes": parts,
                    "MB in": max(one["bytes"] for one in of_task) / 1e6,
                    "CPU s, all": min(map(sum, zip(*(one["cpu"] for one in of_task), strict=True))),
                    "wall s": min(map(max, zip(*(one["wall"] for one in of_task), strict=True))),
                }
            )
    rows.sort(key=lambda row: list(TASKS).index(row["task"]))
    alone = {row["task"]: row["CPU s, all"] for row in rows if row["processes"] == 1}
    for row in rows:
        row["overhead"] = row["CPU s, all"] / alone[row["task"]]
    measure.show(rows, args)


if __name__ == "__main__":
    main()
