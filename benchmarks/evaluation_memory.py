"""Measures the memory of an evaluation beyond its features, also for a gallery on the disk.

    python benchmarks/evaluation_memory.py              # two CPU threads; needs 2 GB of disk

Each row runs in its own process. "MiB" is the growth of its peak resident memory. "matrix MiB" is
the size of the distance matrix. The last gallery is a memory map; its pages do not count, because
the system may drop them at any time. "read s" is the time to read it once, and "product s" is the
time of the products of its blocks by torch.mm.
"""

import argparse
import ctypes
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import galleries
import numpy as np
import torch

from reid_ext import evaluate

CASES = {
    "market1501 2048": (galleries.MARKET, 2048),
    "msmt17 512": (galleries.MSMT17, 512),
    "msmt17 2048": (galleries.MSMT17, 2048),
}
LONG = (1000, 1_000_000, 512)
IDENTITIES, BLOCK = 20_000, 32_768


def resident(kind: str) -> float:
    """The resident memory of a kind in MiB; RssAnon excludes the pages of files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind):
            return int(line.split()[1]) / 2**10
    raise RuntimeError(f"/proc/self/status has no line {kind}")


def of_case(name: str) -> str:
    size, dim = CASES[name]
    problem = galleries.make(size, dim, galleries.NOISE[0.5])
    small = galleries.make((100, 500, 20), dim, galleries.NOISE[0.5])
    small.evaluated(evaluate)  # warm-up: loads code and libraries
    ctypes.CDLL(None).malloc_trim(0)  # else freed memory would be reused and not be measured
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, start = resident("VmRSS"), time.perf_counter()
    problem.evaluated(evaluate)
    seconds = time.perf_counter() - start
    grown = resident("VmHWM") - before
    matrix = size[0] * size[1] * 4 / 2**20
    return f"| {size[0]} x {size[1]} x {dim} | {grown:.0f} | {matrix:.0f} | {seconds:.1f} |"


def write_long(path: Path) -> dict[str, np.ndarray]:
    """Write the gallery of LONG to a file, block by block, and return the labels."""
    queries, images, dim = LONG
    random = np.random.default_rng(0)
    person = random.standard_normal((IDENTITIES, 64), dtype=np.float32)
    to_features = random.standard_normal((64, dim), dtype=np.float32) / 8
    ids = random.integers(IDENTITIES, size=images)
    out = np.lib.format.open_memmap(path, "w+", np.float32, (images, dim))
    for first in range(0, images, BLOCK):
        some = ids[first : first + BLOCK]
        blur = random.standard_normal((len(some), 64), dtype=np.float32)
        out[first : first + BLOCK] = (person[some] + 0.6 * blur) @ to_features
    out.flush()
    chosen = random.integers(IDENTITIES, size=queries)
    blur = random.standard_normal((queries, 64), dtype=np.float32)
    np.save(path.with_name("query.npy"), (person[chosen] + 0.6 * blur) @ to_features)
    return {"query_ids": chosen, "gallery_ids": ids}


def of_long(folder: Path) -> str:
    labels = write_long(folder / "gallery.npy")
    query = np.load(folder / "query.npy")
    start = time.perf_counter()
    with open(folder / "gallery.npy", "rb") as file:
        while file.read(1 << 24):
            pass
    read = time.perf_counter() - start
    gallery = np.load(folder / "gallery.npy", mmap_mode="r")
    product = 0.0
    for first in range(0, len(gallery), BLOCK):
        block = torch.from_numpy(gallery[first : first + BLOCK].copy())
        start = time.perf_counter()
        torch.mm(torch.from_numpy(query), block.T)
        product += time.perf_counter() - start
    evaluate(
        query[:50], gallery[:500], query_ids=range(50), gallery_ids=range(500), protocol="generic"
    )
    ctypes.CDLL(None).malloc_trim(0)
    before, most, start = resident("RssAnon"), [0.0], time.perf_counter()
    with _watched(most):
        ranking = evaluate(query, gallery, **labels, protocol="generic")
    seconds = time.perf_counter() - start
    return (
        f"| {LONG[0]} x {LONG[1]} x {LONG[2]}, memory map, mAP {ranking.mAP:.2f} | "
        f"{most[0] - before:.0f} | {LONG[0] * LONG[1] * 4 / 2**20:.0f} | {seconds:.1f} | "
        f"read s {read:.1f}, product s {product:.1f}, ratio {seconds / (read + product):.2f}"
    )


class _watched:
    """Samples RssAnon every few milliseconds while the block runs."""

    def __init__(self, most: list[float]) -> None:
        self.most = most

    def __enter__(self) -> None:
        import threading

        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self) -> None:
        while not self.done.wait(0.01):
            self.most[0] = max(self.most[0], resident("RssAnon"))

    def __exit__(self, *error: object) -> None:
        self.done.set()
        self.thread.join()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", help="run only this case, in this process")
    args = parser.parse_args()
    torch.set_num_threads(2)
    if args.case == "long":
        with tempfile.TemporaryDirectory(dir=".") as folder:
            print(of_long(Path(folder)))
        return
    if args.case:
        print(of_case(args.case))
        return
    print("| queries x gallery x D | MiB | matrix MiB | s |\n|---|---|---|---|", flush=True)
    for case in (*CASES, "long"):
        subprocess.run([sys.executable, __file__, "--case", case], check=True)


if __name__ == "__main__":
    main()
