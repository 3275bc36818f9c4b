"""Search in very large galleries: faiss finds candidates, and reid_ext ranks them exactly.

    pip install faiss-cpu
    python examples/faiss_search.py                      # 50,000 random vectors, under a minute
    python examples/faiss_search.py --gallery 1000000 --lists 4096

faiss compresses the gallery to 16 bytes per image and searches the lists nearest to a query. The
distances of its candidates are then computed from the full features, which may be in a memory map.
Prints the recall of the ten nearest images: expect about 0.7 for the index alone, and more than 0.9
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

DIM, IMAGES_PER_PERSON, QUERIES = 128, 20, 500
BYTES, BITS = 16, 8  # of a compressed image, and of each of its codes
NEAREST = 10
NOISE = 0.7  # of an image, against a person of 1


def made_up(images, generator):
    """Normalised features of as many people as gives each 20 images, and queries among them."""
    people = torch.randn(images // IMAGES_PER_PERSON, DIM, generator=generator)

    def of(number):
        who = torch.randint(len(people), (number,), generator=generator)
        return F.normalize(people[who] + NOISE * torch.randn(number, DIM, generator=generator))

    return of(QUERIES), of(images)


def index_of(gallery, lists, visited):
    """The gallery in lists around centres, each image as codes."""
    index = faiss.IndexIVFPQ(faiss.IndexFlatL2(DIM), DIM, lists, BYTES, BITS)
    index.train(gallery[: 64 * max(lists, 2**BITS)])
    index.add(gallery)
    index.nprobe = visited
    return index


def rescored(query, gallery, candidates):
    """The candidates (Q, C) in the order of their exact distances; -1, for none, comes last."""
    rows = torch.arange(len(query)).repeat_interleave(candidates.shape[1])
    values = ops.pair_values(query, gallery, rows, candidates.clamp(min=0).flatten())
    values = values.view(candidates.shape).masked_fill(candidates < 0, torch.inf)
    return candidates.gather(1, values.argsort(dim=1, stable=True))


def recall(found, exact):
    """Which share of the nearest images is among those found."""
    return (found[:, :NEAREST, None] == exact[:, None]).any(1).double().mean().item()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gallery", type=int, default=50_000, help="images")
    parser.add_argument("--lists", type=int, default=256)
    parser.add_argument("--visited", type=int, default=16, help="lists per query")
    parser.add_argument("--candidates", type=int, default=200, help="per query, to be re-scored")
    args = parser.parse_args()
    if faiss is None:
        raise ImportError("faiss must be installed; install it with pip install faiss-cpu")
    faiss.omp_set_num_threads(torch.get_num_threads())
    query, gallery = made_up(args.gallery, torch.Generator().manual_seed(0))
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
