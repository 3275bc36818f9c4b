"""``reid-ext evaluate`` and ``reid-ext rerank``: from feature files to metrics, or to distances."""

import argparse
from pathlib import Path
from typing import Any

import torch

from reid_ext.cli.command import Result, WrongUse, read_device
from reid_ext.cli.features import Features, read_pair, write_arrays
from reid_ext.evaluation import bootstrap, evaluate, rerank
from reid_ext.evaluation.inputs import METRICS
from reid_ext.evaluation.protocols import CLASSIC, PROTOCOLS
from reid_ext.evaluation.ranking import AVERAGE_PRECISIONS
from reid_ext.evaluation.rerank import METHODS


def add_commands(groups: Any) -> None:
    """Add ``evaluate`` and ``rerank`` to the subparsers of the command line."""
    parser = groups.add_parser("evaluate", help="CMC, mAP and mINP of two feature files")
    _add_files(parser)
    parser.add_argument("--protocol", choices=[*PROTOCOLS, CLASSIC], default="market1501")
    parser.add_argument("--max-rank", type=int, default=50)
    parser.add_argument("--average-precision", choices=AVERAGE_PRECISIONS, default="step")
    parser.add_argument("--rerank", action="store_true", help="rank by k-reciprocal distances")
    parser.add_argument("--confidence", action="store_true", help="95 %% intervals, by bootstrap")
    parser.set_defaults(run=_evaluate)

    parser = groups.add_parser("rerank", help="re-ranked distances of two feature files")
    _add_files(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz")
    parser.add_argument("--method", choices=METHODS, default=METHODS[0])
    parser.add_argument("--k1", type=int, default=20)
    parser.add_argument("--k2", type=int, default=6)
    parser.add_argument("--lambda-value", type=float, default=0.3)
    parser.add_argument("--top", type=int, help="only so many images per query; default: all")
    parser.set_defaults(run=_rerank)


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", metavar="QUERY.npz", type=Path)
    both = "may be left out where QUERY holds both, as layumi's pytorch_result.mat does"
    parser.add_argument("gallery", metavar="GALLERY.npz", type=Path, nargs="?", help=both)
    parser.add_argument("--metric", choices=METRICS, default="cosine")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")


def _read(args: argparse.Namespace) -> tuple[Features, Features, torch.Tensor, torch.Tensor]:
    device = read_device(args.device)
    query, gallery = read_pair(args.query, args.gallery)
    q, g = (torch.from_numpy(side.features).to(device) for side in (query, gallery))
    return query, gallery, q, g


def _evaluate(args: argparse.Namespace) -> Result:
    query, gallery, q, g = _read(args)
    ranking = evaluate(
        q,
        g,
        query_ids=query.identities,
        gallery_ids=gallery.identities,
        query_cameras=query.cameras,
        gallery_cameras=gallery.cameras,
        protocol=args.protocol,
        metric=args.metric,
        max_rank=args.max_rank,
        average_precision=args.average_precision,
        rerank=args.rerank,
    )
    lines, facts = [str(ranking)], {"ok": True, **ranking.to_dict()}
    if args.confidence:
        intervals = bootstrap(ranking)
        ends = {
            "rank1": [float(end[0]) for end in intervals.cmc],
            "mAP": [float(end) for end in intervals.mAP],
            "mINP": [float(end) for end in intervals.mINP],
        }
        facts["confidence"] = ends
        lines += [
            f"95 % of the queries' draws: {name} {100 * low:.2f} to {100 * high:.2f} %"
            for name, (low, high) in ends.items()
        ]
    return Result(lines, facts)


def _rerank(args: argparse.Namespace) -> Result:
    if args.out.suffix != ".npz":
        raise WrongUse(f"--out must end in .npz, got {args.out}")
    *_, q, g = _read(args)
    found = rerank(
        q,
        g,
        method=args.method,
        k1=args.k1,
        k2=args.k2,
        lambda_value=args.lambda_value,
        metric=args.metric,
        top=args.top,
    )
    arrays = {"distances": found} if isinstance(found, torch.Tensor) else found._asdict()
    write_arrays(args.out, {name: array.cpu().numpy() for name, array in arrays.items()})
    shape = " x ".join(map(str, arrays["distances"].shape))
    facts = {"ok": True, "out": str(args.out), "shape": list(arrays["distances"].shape)}
    return Result([f"{args.out}: {', '.join(arrays)} of shape {shape}"], facts)
