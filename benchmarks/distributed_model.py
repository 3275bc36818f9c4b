"""Prints the cost model of docs/distributed.md: bytes, operations and seconds of each part.

    python benchmarks/distributed_model.py                                      # the tables
    python benchmarks/distributed_model.py benchmarks/results/cpu-distributed.json

Bytes are those that one of W processes receives from the others, which hold (W - 1) / W of all
rows. With a result file of benchmarks/distributed.py, the program also compares the bytes counted
there with the predicted bytes. The number of positives comes from the galleries of the benchmark.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import distributed as benchmark
import galleries

FLOPS, TF32_FLOPS = 50e12, 400e12  # per GPU and second: float32, needed for exact ranks, and TF32
LINK = 40e9  # bytes per second into a GPU from another machine
MEMORY = 3e12  # bytes per second that a GPU reads from its memory
NEIGHBOURS = 21  # neighbours kept per image in re-ranking: k1 + 1
INDEX, VALUE = 8, 4


class Problem(NamedTuple):
    queries: int
    images: int
    dim: int
    positives: int  # of all queries together

    @property
    def both(self) -> int:
        return self.queries + self.images


class Cost(NamedTuple):
    bytes: float  # received by one process
    flops: float  # computed by one process


def loss(n: int, dim: int, parts: int) -> Cost:
    """Every process computes the whole batch, so the operations are not divided."""
    return Cost(others(parts) * n * (VALUE * dim + INDEX), n * n * dim)


def evaluation(p: Problem, parts: int) -> Cost:
    rows = VALUE * p.queries * p.dim + 3 * INDEX * p.both  # identity, camera and index
    sums = 2 * p.positives * (VALUE + INDEX)
    return Cost(others(parts) * (rows + sums), 2 * p.queries * p.images * p.dim / parts)


def reranking(p: Problem, parts: int, symmetric: bool = False) -> Cost:
    lists = NEIGHBOURS * (VALUE + INDEX) + VALUE  # exchanged once and gathered once
    rows = VALUE * p.dim + INDEX + 2 * lists
    pairs = p.both * p.both * (1 if symmetric else 2) + 2 * p.queries * p.images
    return Cost(others(parts) * p.both * rows, pairs * p.dim / parts)


def others(parts: int) -> float:
    return (parts - 1) / parts


PROBLEMS = {
    "MSMT17, D 2048": Problem(11_659, 82_161, 2048, 430_000),
    "100 M images, D 512": Problem(10_000, 100_000_000, 512, 10_000_000),
}


def planned():
    print("| part | what | GPUs | GB in | s to move | TFLOP each | s, float32 | s, TF32 |")
    print("|" + "---|" * 8)
    for name, problem in PROBLEMS.items():
        for part, cost_of in (("evaluate", evaluation), ("rerank", reranking)):
            for parts in (8, 64):
                show(part, name, parts, cost_of(problem, parts))
    for parts in (8, 64):
        show("loss", f"{256 * parts} images, D 2048", parts, loss(256 * parts, 2048, parts))


def show(part: str, name: str, parts: int, cost: Cost) -> None:
    seconds = cost.bytes / LINK, cost.flops / FLOPS, cost.flops / TF32_FLOPS
    moved, single, reduced = (f"{value:.2g}" for value in seconds)
    gigabytes, tera = f"{cost.bytes / 1e9:.2g}", f"{cost.flops / 1e12:.2g}"
    print(f"| {part} | {name} | {parts} | {gigabytes} | {moved} | {tera} | {single} | {reduced} |")


def checked(results: Path) -> None:
    evaluated = galleries.make(benchmark.EVALUATED, benchmark.DIM, galleries.NOISE[0.5])
    labels = evaluated.labels
    same = labels["query_ids"][:, None] == labels["gallery_ids"]
    same &= labels["query_cameras"][:, None] != labels["gallery_cameras"]
    problem = Problem(*benchmark.EVALUATED[:2], benchmark.DIM, int(same.sum()))
    ranked = Problem(*benchmark.RERANKED[:2], benchmark.DIM, 0)
    print("\n| task | processes | MB counted | MB predicted |\n|---|---|---|---|")
    for row in json.loads(results.read_text())["rows"]:
        parts = row["processes"]
        predicted = {
            "loss": loss(*benchmark.LOSS, parts),
            "evaluate": evaluation(problem, parts),
            "rerank": reranking(ranked, parts),
        }[row["task"].partition(",")[0]]
        numbers = f"{row['MB in']:.3f} | {predicted.bytes / 1e6:.3f}"
        print(f"| {row['task']} | {parts} | {numbers} |")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "results", type=Path, nargs="?", help="result file of benchmarks/distributed.py"
    )
    args = parser.parse_args()
    planned()
    if args.results:
        checked(args.results)


if __name__ == "__main__":
    main()
