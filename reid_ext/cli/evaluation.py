"""``reid-ext evaluate``: from feature files to metrics."""

import argparse
from pathlib import Path
from typing import Any

from reid_ext._runtime.writing import writes
from reid_ext.cli.command import Result, Table, WrongUse, check_place, read_device
from reid_ext.cli.protocol_flags import add_protocol, check_protocol
from reid_ext.cli.reranking import OPTIONS, add_options, flag_of, given_options
from reid_ext.cli.runs import Evaluated, Files, evaluated
from reid_ext.cli.sides import add_files
from reid_ext.evaluation import Confidence, Ranking
from reid_ext.report import write_report


def add_commands(groups: Any) -> None:
    """Add ``evaluate`` to the subparsers of the command line."""
    parser = groups.add_parser("evaluate", help="CMC, mAP and mINP of two feature files")
    add_files(parser)
    parser.add_argument("--max-rank", type=int, default=50)
    add_protocol(parser)
    parser.add_argument("--rerank", action="store_true", help="rank by re-ranked distances")
    add_options(parser)
    report = "also write a page with figures, the hardest queries and more"
    parser.add_argument("--report", type=Path, metavar="OUT.html", help=report)
    compare = "in the report beside it; may be repeated"
    parser.add_argument(
        "--compare", metavar="NAME=QUERY.npz,GALLERY.npz", action="append", default=[], help=compare
    )
    parser.add_argument("--name", help="in the report; default: this run")
    parser.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> Result:
    device = read_device(args.device)
    check_protocol(args)
    reranking = _reranking(args)
    _check_report(args)
    own = [(args.query, args.gallery), *(_files("--trial", text) for text in args.trial)]
    sources = {args.name or "this run": own}
    for text in args.compare:
        name, files = _compared(text)
        if name in sources:
            raise WrongUse(f"--name and --compare must differ in their names, got {name} twice")
        sources[name] = [files]
    found = [evaluated(args, device, name, trials, reranking) for name, trials in sources.items()]
    lines: list[str | Table] = []
    facts: dict[str, Any] = {"ok": True}
    for one in found:
        lines += [f"{one.run.name}:"] * (len(found) > 1) + _lines(one, args.confidence)
        if one is found[0]:
            facts |= _facts(one, args.confidence)
        else:
            compared = facts.setdefault("compare", {})
            compared[one.run.name] = _facts(one, args.confidence)
    if args.report is not None:
        with writes("--report", args.report):
            write_report(args.report, [one.run for one in found])
        lines.append(f"report: {args.report}")
        facts["report"] = str(args.report)
    return Result(lines, facts)


def _reranking(args: argparse.Namespace) -> dict[str, Any] | None:
    if args.rerank:
        return given_options(args)
    for name in OPTIONS:
        if getattr(args, name) is not None:
            raise WrongUse(f"{flag_of(name)} must come with --rerank, got it alone")
    return None


def _check_report(args: argparse.Namespace) -> None:
    """Refuse before any work what would be refused after it."""
    if args.compare and args.trial:
        raise WrongUse("--compare must not come with --trial, whose trials are of one run")
    if args.report is None:
        for flag, value in (("--compare", args.compare), ("--name", args.name)):
            if value:
                raise WrongUse(f"{flag} must come with --report, got it alone")
        return
    if args.report.suffix not in (".html", ".htm"):
        raise WrongUse(f"--report must end in .html, got {args.report}")
    check_place("--report", args.report)


def _compared(text: str) -> tuple[str, Files]:
    name, _, files = text.partition("=")
    if not (name and files.partition(",")[0]):
        raise WrongUse(f"--compare must be NAME=QUERY.npz,GALLERY.npz, got {text!r}")
    return name, _files("--compare", files)


def _files(flag: str, text: str) -> Files:
    query, _, gallery = text.partition(",")
    if not query:
        raise WrongUse(f"{flag} must be QUERY.npz,GALLERY.npz, got {text!r}")
    return Path(query), Path(gallery) if gallery else None


def _lines(one: Evaluated, confidence: bool) -> list[str | Table]:
    words = "95 % of the queries' draws"
    if one.run.mean is not None:
        words = f"least to largest of {len(one.run.mean.trials)} trials"
    shown = _ends(one, confidence).items()
    return [
        _table(one.run.whole),
        *(f"{words}: {name} {100 * low:.2f} to {100 * high:.2f} %" for name, (low, high) in shown),
    ]


def _facts(one: Evaluated, confidence: bool) -> dict[str, Any]:
    facts = one.run.whole.to_dict()
    facts["not_finite"] = [found._asdict() for found in one.not_finite]
    if ends := _ends(one, confidence):
        facts["confidence" if one.run.mean is None else "trials_range"] = ends
    return facts


def _ends(one: Evaluated, confidence: bool) -> dict[str, list[float]]:
    """Of rank-1, mAP and mINP: where asked for, the interval; of trials always their range."""
    found: Confidence | None = None
    if confidence or one.run.mean is not None:
        found = one.run.spread()
    if found is None:
        return {}
    return {
        "rank1": [float(end[0]) for end in found.cmc],
        "mAP": [float(end) for end in found.mAP],
        "mINP": [float(end) for end in found.mINP],
    }


def _table(ranking: Ranking) -> Table:
    """The metrics in percent; in a pipe the ranking's own text."""
    values = {f"rank-{k}": ranking.rank(k) for k in (1, 5, 10, 20) if k <= len(ranking.cmc)}
    values |= {"mAP": ranking.mAP, "mINP": ranking.mINP}
    table = Table(list(values), [[f"{100 * value:.2f}" for value in values.values()]])
    return table._replace(plain=str(ranking))
