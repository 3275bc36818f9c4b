"""Compares reid_ext with the released code of fast-reid, torchreid and pytorch-metric-learning.

    python benchmarks/peers.py --fastreid DIR --torchreid DIR --json benchmarks/results/peers.json

Clone fast-reid and torchreid first, and run ``python setup.py build_ext --inplace`` in the folders
fastreid/evaluation/rank_cylib and torchreid/metrics/rank_cylib of the clones.

DIR is the folder of a clone. Each row is a task that both programs can do, timed in CPU seconds
on one CPU thread. Evaluations have the size of Market-1501. "agree" is the largest difference
between the two results. Only the functions that a row names are imported from the clones.
"""

import argparse
import importlib
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import galleries
import measure
import numpy as np
import torch
from losses import LOSSES, step

import reid_ext
from reid_ext import compat

DIMENSIONS = 2048
RERANKED = (1000, 5000, 250)  # queries, gallery, identities
LABELS = ("query_ids", "gallery_ids", "query_cameras", "gallery_cameras")
PEERS = {
    "fastreid": {"title": "fast-reid", "rank": "fastreid.evaluation.rank"},
    "torchreid": {
        "title": "torchreid",
        "rank": "torchreid.metrics.rank",
        "distance": "torchreid.metrics.distance",
    },
}


def imported(name: str, folder: Path) -> types.ModuleType:
    """A module of a clone, imported without running the ``__init__`` of its packages."""
    *packages, _ = name.split(".")
    for i in range(len(packages)):
        package = types.ModuleType(".".join(packages[: i + 1]))
        package.__path__ = [str(folder.joinpath(*packages[: i + 1]))]
        sys.modules[package.__name__] = package
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a peer only warns if its Cython code is not built
        return importlib.import_module(name)


def compared(
    job: str, size: str, peer: str, variants: dict[str, Callable[[], Any]], args, rounds: int = 3
) -> dict[str, Any]:
    theirs, ours = (np.asarray(variants[name]()) for name in ("theirs", "ours"))
    seconds = measure.alternately(variants, args, rounds)
    return {
        "job": job,
        "size": size,
        "peer": peer,
        "peer s": seconds["theirs"],
        "reid_ext s": seconds["ours"],
        "peer / reid_ext": seconds["theirs"] / seconds["ours"],
        "agree": float(np.abs(theirs - ours).max()),
    }


def evaluations(args) -> list[dict[str, Any]]:
    problem = galleries.make(galleries.MARKET, DIMENSIONS, galleries.NOISE[0.5])
    query, gallery = problem.query, problem.gallery
    labels = [problem.labels[name].numpy() for name in LABELS]
    given = (1 - query @ gallery.T).numpy()
    size = f"{len(query)} x {len(gallery)}"

    def mean(evaluate_rank: Callable, distances: np.ndarray) -> float:
        return float(np.mean(evaluate_rank(distances, *labels, max_rank=50)[1]))

    rows = []
    for name, peer in PEERS.items():
        if not (clone := getattr(args, name)):
            continue
        theirs = imported(peer["rank"], clone).evaluate_rank
        ours = getattr(compat, name).evaluate_rank
        variants = {
            "theirs": lambda f=theirs: mean(f, given),
            "ours": lambda f=ours: mean(f, given),
        }
        title = f"{peer['title']} evaluate_rank (Cython)"
        rows.append(compared("CMC and mAP of a distance matrix", size, title, variants, args))
        if "distance" in peer:
            cosine = imported(peer["distance"], clone).cosine_distance
            variants = {
                "theirs": lambda f=theirs, d=cosine: mean(f, d(query, gallery).numpy()),
                "ours": lambda: problem.evaluated(reid_ext.evaluate).mAP,
            }
            title = f"{peer['title']} compute_distance_matrix, evaluate_rank"
            of_features = f"{size} x {DIMENSIONS}"
            rows.append(compared("CMC and mAP of features", of_features, title, variants, args))
    return rows


def reranking(args) -> list[dict[str, Any]]:
    """Zhong's code, as copied in fast-reid, including the three distance matrices it needs."""
    re_ranking = imported("fastreid.evaluation.rerank", args.fastreid).re_ranking
    problem = galleries.make(RERANKED, DIMENSIONS, galleries.NOISE[0.5])
    query, gallery = problem.query, problem.gallery

    def theirs() -> np.ndarray:
        pairs = [(query, gallery), (query, query), (gallery, gallery)]
        return re_ranking(*(torch.cdist(a, b).numpy() for a, b in pairs))

    size = f"{len(query)} x {len(gallery)} x {DIMENSIONS}"
    ours = {"ours": lambda: reid_ext.rerank(query, gallery, metric="euclidean").numpy()}
    peer = "Zhong et al.'s code, as in fast-reid"
    return [compared("k-reciprocal re-ranking", size, peer, {"theirs": theirs, **ours}, args, 1)]


def triplets(args) -> list[dict[str, Any]]:
    rows = []
    for n in (64, 1024):
        x, labels = torch.randn(n, DIMENSIONS) * 8 / DIMENSIONS**0.5, torch.arange(n) // 4
        variants = {
            "theirs": LOSSES["triplet"]["metric-learning"],
            "ours": LOSSES["triplet"]["ours"],
        }
        steps = {name: step(loss, x, labels) for name, loss in variants.items()}
        values = {name: loss(x, labels).item() for name, loss in variants.items()}
        row = compared(
            "Batch-hard triplet loss and its gradient",
            f"{n} x {DIMENSIONS}",
            "pytorch-metric-learning BatchHardMiner, TripletMarginLoss",
            {name: lambda f=f: f() or 0 for name, f in steps.items()},
            args,
        )
        rows.append(row | {"agree": abs(values["theirs"] - values["ours"])})
    return rows


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("--fastreid", type=Path, help="folder of a clone of fast-reid")
    parser.add_argument(
        "--torchreid", type=Path, help="folder of a clone of torchreid (deep-person-reid)"
    )
    args: argparse.Namespace = measure.parsed(parser)
    rows = evaluations(args)
    if args.fastreid:
        rows += reranking(args)
    measure.show(rows + triplets(args), args)


if __name__ == "__main__":
    main()
