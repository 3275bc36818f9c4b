"""``reid-ext evaluate`` and ``reid-ext rerank``: from feature files to metrics, or to distances."""

import argparse
from pathlib import Path
from typing import Any

import torch

from reid_ext._writing import writes
from reid_ext.cli.command import Result, Table, WrongUse, at_least, read_device
from reid_ext.cli.features import read_pair, write_arrays
from reid_ext.evaluation import Ranking, bootstrap, evaluate, rerank
from reid_ext.evaluation.inputs import METRICS
from reid_ext.evaluation.protocols import CLASSIC, PROTOCOLS
from reid_ext.evaluation.ranking import AVERAGE_PRECISIONS
from reid_ext.evaluation.rerank import METHODS
from reid_ext.report import Run, Side, write_report


def add_commands(groups: Any) -> None:
    """Add ``evaluate`` and ``rerank`` to the subparsers of the command line."""
    parser = groups.add_parser("evaluate", help="CMC, mAP and mINP of two feature files")
    _add_files(parser)
    parser.add_argument("--protocol", choices=[*PROTOCOLS, CLASSIC], default="market1501")
    parser.add_argument("--max-rank", type=int, default=50)
    parser.add_argument("--average-precision", choices=AVERAGE_PRECISIONS, default="step")
    parser.add_argument("--rerank", action="store_true", help="rank by k-reciprocal distances")
    parser.add_argument("--confidence", action="store_true", help="95 %% intervals, by bootstrap")
    report = "also write a page with figures, the hardest queries and more"
    parser.add_argument("--report", type=Path, metavar="OUT.html", help=report)
    compare = "in the report beside it; may be repeated"
    parser.add_argument(
        "--compare", metavar="NAME=QUERY.npz,GALLERY.npz", action="append", default=[], help=compare
    )
    parser.add_argument("--name", default="this run", help="in the report")
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


def _evaluate(args: argparse.Namespace) -> Result:
    device = read_device(args.device)
    at_least("--max-rank", args.max_rank, 1)
    _check_report(args)
    sources = [(args.name, args.query, args.gallery), *map(_compared, args.compare)]
    names = [name for name, *_ in sources]
    if len(set(names)) < len(names):
        raise WrongUse(f"--name and --compare must differ in their names, got {', '.join(names)}")
    runs = [_run(args, device, *source) for source in sources]
    first = runs[0]
    lines: list[str | Table] = []
    facts: dict[str, Any] = {"ok": True, **first.ranking.to_dict()}
    for run in runs:
        lines += [f"{run.name}:"] * (len(runs) > 1) + [_table(run.ranking)]
        ends = _intervals(run.ranking) if args.confidence else {}
        lines += [
            f"95 % of the queries' draws: {name} {100 * low:.2f} to {100 * high:.2f} %"
            for name, (low, high) in ends.items()
        ]
        own = facts
        if run is not first:
            own = facts.setdefault("compare", {})[run.name] = run.ranking.to_dict()
        if args.confidence:
            own["confidence"] = ends
    if args.report is not None:
        with writes("--report", args.report):
            write_report(args.report, runs)
        lines.append(f"report: {args.report}")
        facts["report"] = str(args.report)
    return Result(lines, facts)


def _check_report(args: argparse.Namespace) -> None:
    """Refuse before any work what would be refused after it."""
    if args.report is None:
        if args.compare:
            raise WrongUse("--compare must come with --report, got it alone")
        return
    if args.report.suffix not in (".html", ".htm"):
        raise WrongUse(f"--report must end in .html, got {args.report}")
    _check_place("--report", args.report)


def _check_place(flag: str, path: Path) -> None:
    if not path.parent.is_dir():
        raise WrongUse(
            f"{flag} must be in a folder that exists, got {path}; make {path.parent} first"
        )
    if path.is_dir():
        raise WrongUse(f"{flag} must be a file, got the folder {path}; name a file in it")


def _compared(text: str) -> tuple[str, Path, Path | None]:
    name, _, files = text.partition("=")
    query, _, gallery = files.partition(",")
    if not (name and query):
        raise WrongUse(f"--compare must be NAME=QUERY.npz,GALLERY.npz, got {text!r}")
    return name, Path(query), Path(gallery) if gallery else None


def _run(
    args: argparse.Namespace,
    device: torch.device,
    name: str,
    query_file: Path,
    gallery_file: Path | None,
) -> Run:
    """The ranking of two feature files, with all that a report shows of it."""
    query, gallery = (
        Side(torch.from_numpy(f.features).to(device), f.identities, f.cameras, f.paths)
        for f in read_pair(query_file, gallery_file)
    )
    ranking = evaluate(
        query.features,
        gallery.features,
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
    distances = None
    if args.rerank and args.report is not None:
        distances = rerank(query.features, gallery.features, metric=args.metric)
    return Run(name, query, gallery, ranking, args.protocol, args.metric, distances)


def _table(ranking: Ranking) -> Table:
    """The metrics in percent; in a pipe the ranking's own text."""
    values = {f"rank-{k}": ranking.rank(k) for k in (1, 5, 10, 20) if k <= len(ranking.cmc)}
    values |= {"mAP": ranking.mAP, "mINP": ranking.mINP}
    table = Table(list(values), [[f"{100 * value:.2f}" for value in values.values()]])
    return table._replace(plain=str(ranking))


def _intervals(ranking: Ranking) -> dict[str, list[float]]:
    found = bootstrap(ranking)
    return {
        "rank1": [float(end[0]) for end in found.cmc],
        "mAP": [float(end) for end in found.mAP],
        "mINP": [float(end) for end in found.mINP],
    }


def _rerank(args: argparse.Namespace) -> Result:
    if args.out.suffix != ".npz":
        raise WrongUse(f"--out must end in .npz, got {args.out}")
    _check_place("--out", args.out)
    for flag in ("--k1", "--k2", "--top"):
        at_least(flag, getattr(args, flag[2:]), 1)
    if not 0 <= args.lambda_value <= 1:
        raise WrongUse(f"--lambda-value must be from 0 to 1, got {args.lambda_value}")
    device = read_device(args.device)
    q, g = (
        torch.from_numpy(side.features).to(device) for side in read_pair(args.query, args.gallery)
    )
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
    with writes("--out", args.out):
        write_arrays(args.out, {name: array.cpu().numpy() for name, array in arrays.items()})
    shape = " x ".join(map(str, arrays["distances"].shape))
    facts = {"ok": True, "out": str(args.out), "shape": list(arrays["distances"].shape)}
    return Result([f"{args.out}: {', '.join(arrays)} of shape {shape}"], facts)
