"""Measures time and memory of re-ranking and of Jaccard distances, at sizes too large for matrices.

    python benchmarks/rerank_memory.py               # two CPU threads, some minutes

Each row runs in its own process. "MiB" is the peak resident memory beyond the features, including
the result. "matrix MiB" is the size of one float32 matrix over all pairs of images.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import galleries
import torch
from evaluation_memory import resident

from reid_ext import jaccard_distance, rerank

CLUSTERED = (2, 100_000, 5000)
CASES = {
    "market1501": (galleries.MARKET, 2048),
    "msmt17, top 100": (galleries.MSMT17, 512),
    "jaccard": (CLUSTERED, 512),
}


def run(name: str, size: tuple[int, int, int], dim: int) -> str:
    problem = galleries.make(size, dim, galleries.NOISE[0.5])
    small = galleries.make((10, 100, 9), dim, galleries.NOISE[0.5])
    rerank(small.query, small.gallery)  # warm-up: loads code and libraries
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, start = resident("VmRSS"), time.perf_counter()
    if name == "jaccard":
        found = jaccard_distance(problem.gallery, k1=30, k2=6, max_distance=0.6)
        what = f"jaccard_distance, {len(found.indices) / 1e6:.1f} M entries up to 0.6"
    else:
        top = 100 if "top" in name else None
        rerank(problem.query, problem.gallery, top=top)
        what = "rerank" if top is None else f"rerank, top={top}"
    seconds, grown = time.perf_counter() - start, resident("VmHWM") - before
    n = size[1] if name == "jaccard" else size[0] + size[1]
    return f"| {what} | {n} x {dim} | {grown:.0f} | {n * n * 4 / 2**20:.0f} | {seconds:.1f} |"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", choices=list(CASES), help="run only this case, in this process")
    args = parser.parse_args()
    torch.set_num_threads(2)
    if args.case:
        print(run(args.case, *CASES[args.case]))
        return
    print("| what | images x D | MiB | matrix MiB | s |\n|---|---|---|---|---|", flush=True)
    for case in CASES:
        subprocess.run([sys.executable, __file__, "--case", case], check=True)


if __name__ == "__main__":
    main()
