"""Times the computation of CMC, mAP and mINP, compared with one matrix product.

    python benchmarks/evaluation.py [features|distances|curve|msmt17]...

Runs on one CPU thread and measures CPU seconds.

features, msmt17: from features to metrics, at the size of Market-1501 or MSMT17. "mm" is torch.mm
of queries and gallery. "own" is the same product by reid_ext. "ours" is
evaluate, which uses bfloat16 estimates where they are faster and gives the same ranks. "fp32" is
evaluate with float32 products. "argsort" is NumPy code that sorts every row.

distances: from given distances to metrics. "typed" sorts every row and processes it in a compiled
loop (with numba, if installed). "loop" is a Python loop over queries, timed on a few queries.

curve: "ours" while the number of queries, gallery images or dimensions doubles.
"""

import os
import sys
import time

import galleries
import measure
import numpy as np
import torch

from reid_ext import evaluate, evaluate_distances

LOOPED = 60  # queries that the Python loop processes


def own_product(query, gallery):
    """The product as reid_ext computes it."""
    return query @ gallery.T if query.is_cuda else torch.ops.reid_ext.products(query, gallery)


def in_full(problem, **options):
    """Evaluate without bfloat16, as on a processor without it."""
    os.environ["REID_EXT_CPU_ESTIMATE"] = "float32"
    try:
        return problem.evaluated(evaluate, **options)
    finally:
        del os.environ["REID_EXT_CPU_ESTIMATE"]


def by_argsort(distances, labels):
    """Compute mAP by sorting every row, fully vectorised in NumPy."""
    ids, cameras = labels["gallery_ids"].cpu().numpy(), labels["gallery_cameras"].cpu().numpy()
    query_ids = labels["query_ids"].cpu().numpy()[:, None]
    query_cameras = labels["query_cameras"].cpu().numpy()[:, None]
    order = np.argsort(distances, axis=1)
    match = ids[order] == query_ids
    kept = ~(match & (cameras[order] == query_cameras))
    rank, hits = kept.cumsum(1), (match & kept).cumsum(1)
    precision = np.where(match & kept, hits / np.maximum(rank, 1), 0).sum(1)
    valid = hits[:, -1] > 0
    return (precision[valid] / hits[valid, -1]).mean()


def typed_loop():
    """A compiled loop over sorted rows, as in evaluators with Cython; None without numba."""
    try:
        import numba
    except ImportError:
        return None

    @numba.njit
    def precisions(order, ids, cameras, query_ids, query_cameras):
        total, valid = 0.0, 0
        for q in range(len(order)):
            rank, hits, precision = 0, 0, 0.0
            for image in order[q]:
                if ids[image] == query_ids[q]:
                    if cameras[image] == query_cameras[q]:
                        continue
                    hits += 1
                    precision += hits / (rank + 1)
                rank += 1
            if hits > 0:
                total += precision / hits
                valid += 1
        return total / valid

    def run(distances, labels):
        arrays = [labels[name].cpu().numpy() for name in ("gallery_ids", "gallery_cameras")]
        arrays += [labels[name].cpu().numpy() for name in ("query_ids", "query_cameras")]
        return precisions(np.argsort(distances, axis=1), *arrays)

    return run


def by_loop(distances, labels, queries):
    """Compute mAP in a Python loop over the queries."""
    ids, cameras = labels["gallery_ids"].cpu().numpy(), labels["gallery_cameras"].cpu().numpy()
    precisions = []
    for q in range(queries):
        order = np.argsort(distances[q])
        own = ids[order] == int(labels["query_ids"][q])
        kept = ~(own & (cameras[order] == int(labels["query_cameras"][q])))
        matches = own[kept].astype(np.int32)
        if not matches.any():
            continue
        hits = matches.cumsum()
        precision = np.asarray([hit / (rank + 1.0) for rank, hit in enumerate(hits)]) * matches
        precisions.append(precision.sum() / matches.sum())
    return np.mean(precisions)


def features(args):
    for dim in (512, 2048):
        for noise in galleries.NOISE.values():
            yield from_features(galleries.MARKET, dim, noise, args)


def msmt17(args):
    for dim in (512, 2048):
        yield from_features(galleries.MSMT17, dim, galleries.NOISE[0.5], args)


def from_features(size, dim, noise, args):
    problem = galleries.make(size, dim, noise).to(args.device)
    query, gallery, labels = problem
    variants = {
        "mm": lambda: query @ gallery.T,
        "own": lambda: own_product(query, gallery),
        "fp32": lambda: in_full(problem),
        "ours": lambda: problem.evaluated(evaluate),
    }
    if size == galleries.MARKET and dim == 512:
        variants["argsort"] = lambda: by_argsort((1 - query @ gallery.T).cpu().numpy(), labels)
    seconds = measure.alternately(variants, args, rounds=3 if size == galleries.MARKET else 1)
    ranking = problem.evaluated(evaluate)
    return {
        "queries x gallery x D": f"{size[0]} x {size[1]} x {dim}",
        "mAP": ranking.mAP,
        "mm s": seconds["mm"],
        "own / mm": seconds["own"] / seconds["mm"],
        "fp32 / own": seconds["fp32"] / seconds["own"],
        "fp32 / mm": seconds["fp32"] / seconds["mm"],
        "ours / mm": seconds["ours"] / seconds["mm"],
        "argsort / ours": seconds["argsort"] / seconds["ours"] if "argsort" in seconds else "",
    }


def distances(args):
    compiled = typed_loop()
    for noise in galleries.NOISE.values():
        problem = galleries.make(galleries.MARKET, 512, noise).to(args.device)
        given = 1 - problem.query @ problem.gallery.T
        on_host = given.cpu().numpy()
        variants = {
            "ours": lambda d=given, p=problem: evaluate_distances(d, **p.labels),
            "argsort": lambda d=on_host, p=problem: by_argsort(d, p.labels),
            "loop": lambda d=on_host, p=problem: by_loop(d, p.labels, LOOPED),
        }
        if compiled is not None:
            variants["typed"] = lambda d=on_host, p=problem: compiled(d, p.labels)
        seconds = measure.alternately(variants, args, rounds=3, warm=("ours", "typed"))
        typed = seconds.get("typed", float("nan"))
        loop = seconds["loop"] * len(problem.query) / LOOPED
        yield {
            "queries x gallery": "{} x {}".format(*galleries.MARKET[:2]),
            "mAP": evaluate_distances(given, **problem.labels).mAP,
            "ours ms": 1e3 * seconds["ours"],
            "typed ms": 1e3 * typed,
            "argsort ms": 1e3 * seconds["argsort"],
            "loop ms": 1e3 * loop,
            "typed / ours": typed / seconds["ours"],
            "argsort / ours": seconds["argsort"] / seconds["ours"],
            "loop / ours": loop / seconds["ours"],
        }


def curve(args):
    base = (1000, 8000, 512)
    for which in range(3):
        for factor in (1, 2, 4):
            queries, images, dim = (n * (factor if k == which else 1) for k, n in enumerate(base))
            problem = galleries.make((queries, images, 500), dim, galleries.NOISE[0.5])
            problem = problem.to(args.device)
            seconds = measure.alternately(
                {
                    "mm": lambda p=problem: p.query @ p.gallery.T,
                    "ours": lambda p=problem: p.evaluated(evaluate),
                },
                args,
                rounds=3,
            )
            yield {
                "queries": queries,
                "gallery": images,
                "D": dim,
                "ours ms": 1e3 * seconds["ours"],
                "ns per pair": 1e9 * seconds["ours"] / (queries * images),
                "ours / mm": seconds["ours"] / seconds["mm"],
            }


PARTS = {"features": features, "distances": distances, "curve": curve, "msmt17": msmt17}


def main():
    chosen = [part for part in PARTS if part in sys.argv[1:]] or list(PARTS)
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument not in PARTS]
    args = measure.arguments(__doc__)
    into = args.json
    for part in chosen:
        start = time.perf_counter()
        args.json = into and into.with_name(f"{into.stem}-{part}{into.suffix}")
        print(f"\n## {part}\n")
        measure.show(list(PARTS[part](args)), args)
        print(f"{time.perf_counter() - start:.0f} s in total", flush=True)


if __name__ == "__main__":
    main()
