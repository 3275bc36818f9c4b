"""Measures the memory of a loss beyond its inputs, forward and backward, with large batches.

    python benchmarks/memory.py                    # N = 16,384 and 65,536 on the CPU, two minutes

Each row runs in its own process. "MiB" is the growth of its peak resident memory (on CUDA, of the
peak of the allocator) during one step, including the gradient. "matrix MiB" is the size of one N
x N matrix; plain PyTorch holds several of them.
"""

import argparse
import resource
import subprocess
import sys
import time

import torch

from reid_ext import ops

CASES = [("expat_loss", 16_384), ("fidi_loss", 16_384), ("expat_loss", 65_536)]
DIM, IMAGES = 512, 4


def step(op: str, n: int, device: str) -> None:
    x = torch.randn(n, DIM, device=device, requires_grad=True)
    labels = torch.arange(n, device=device) // IMAGES
    getattr(ops, op)(x, labels).backward()


def peak(device: str) -> float:
    """The peak memory so far, in MiB."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return torch.cuda.max_memory_allocated() / 2**20


def measure(op: str, n: int, device: str) -> str:
    step(op, 64, device)  # warm-up: loads code and libraries
    inputs = n * (DIM * 4 + 8) / 2**20
    before, start = peak(device), time.perf_counter()
    step(op, n, device)
    seconds = time.perf_counter() - start
    mib = peak(device) - before - inputs
    return f"| {op} | {n} x {DIM} | {mib:.0f} | {n * n * 4 / 2**20:.0f} | {seconds:.1f} |"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--case", nargs=2, metavar=("OP", "N"), help="run only this case, in this process"
    )
    args = parser.parse_args()
    if args.case:
        print(measure(args.case[0], int(args.case[1]), args.device))
        return
    print("| op | size | MiB | matrix MiB | s |\n|---|---|---|---|---|", flush=True)
    for op, n in CASES:
        command = [sys.executable, __file__, "--device", args.device, "--case", op, str(n)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
