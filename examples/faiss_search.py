"""Search very large galleries: faiss finds candidates, and reid_ext ranks them.

    pip install faiss-cpu
    python examples/faiss_search.py  # 50,000 random vectors, under a minute
    python examples/faiss_search.py --gallery 1000000 --lists 4096

faiss compresses the gallery to 16 bytes per image and searches the lists
nearest to a query. The script then computes the distances of the candidates
from the full features, which may be in a memory map. It prints the recall of
the ten nearest images: expect about 0.7 for the index alone, and more than 0.9
after re-scoring. The index is faster only if the gallery is large.
"""

import argparse
import time

import numpy as np
import torch
from torch.nn import functional as F

from reid_ext import ops, search
from reid_ext.training.command_line import one_line_errors

try:
    import faiss
except ImportError:
    faiss = None  # main reports it

DIM, IMAGES_PER_IDENTITY, QUERIES = 128, 20, 500
BYTES, BITS = 16, 8  # bytes per compressed image, and bits per code
NEAREST = 10
NOISE = 0.7  # standard deviation of an image around its identity


def synthetic_features(images, generator):
    """Normalised features of queries and gallery, with about 20 gallery images per identity."""
    centres = torch.randn(images // IMAGES_PER_IDENTITY, DIM, generator=generator)

    def features(number):
        identities = torch.randint(len(centres), (number,), generator=generator)
        noise = NOISE * torch.randn(number, DIM, generator=generator)
        return F.normalize(centres[identities] + noise)

    return features(QUERIES), features(images)


def index_of(gallery, lists, visited):
    """An inverted-file index of the gallery with product quantisation."""
    index = faiss.IndexIVFPQ(faiss.IndexFlatL2(DIM), DIM, lists, BYTES, BITS)
    index.train(gallery[: 64 * max(lists, 2**BITS)])
    index.add(gallery)
    index.nprobe = visited
    return index


def rescored(query, gallery, candidates):
    """The candidates (Q, C) in the order of their exact distances, with -1 (missing) last."""
    rows = torch.arange(len(query)).repeat_interleave(candidates.shape[1])
    values = ops.pair_values(query, gallery, rows, candidates.clamp(min=0).flatten())
    values = values.view(candidates.shape).masked_fill(candidates < 0, torch.inf)
    return candidates.gather(1, values.argsort(dim=1, stable=True))


def recall(found, exact):
    """The share of the nearest images that were found."""
    return (found[:, :NEAREST, None] == exact[:, None]).any(1).double().mean().item()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags = {
        "gallery": (50_000, "gallery images"),
        "lists": (256, "lists of the index"),
        "visited": (16, "lists to search per query"),
        "candidates": (200, "candidates to re-score per query"),
    }
    for name, (default, what) in flags.items():
        what = f"number of {what} (default: {default})"
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=what)
    args = parser.parse_args()
    if faiss is None:
        raise ImportError("faiss_search: faiss is required; install it with pip install faiss-cpu")
    faiss.omp_set_num_threads(torch.get_num_threads())
    query, gallery = synthetic_features(args.gallery, torch.Generator().manual_seed(0))
    index = index_of(gallery.numpy(), args.lists, args.visited)

    start = time.perf_counter()
    _, exact = search(query, gallery, NEAREST)
    between = time.perf_counter()
    _, numbers = index.search(query.numpy(), args.candidates)
    candidates = torch.from_numpy(np.ascontiguousarray(numbers))
    ordered = rescored(query, gallery, candidates)
    seconds = between - start, time.perf_counter() - between

    print(f"{len(gallery)} images, {QUERIES} queries, the {NEAREST} nearest")
    print(f"exact search:     {1000 * seconds[0] / QUERIES:.2f} ms a query")
    print(f"index, re-scored: {1000 * seconds[1] / QUERIES:.2f} ms a query")
    print(f"recall of the index alone: {recall(candidates, exact):.2f}")
    print(f"recall, re-scored:         {recall(ordered, exact):.2f}")


if __name__ == "__main__":
    with one_line_errors():
        main()
