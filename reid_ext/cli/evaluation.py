"""``reid-ext evaluate``: computes metrics from feature files."""

import argparse
from inspect import signature
from pathlib import Path
from typing import Any

from torch import Tensor

from reid_ext._runtime.writing import writes
from reid_ext.cli import protocols
from reid_ext.cli.command import (
    Result,
    Table,
    WrongUse,
    add_command,
    add_json,
    check_place,
    flag_of,
    group_of,
    read_device,
)
from reid_ext.cli.reranking import OPTIONS, add_options, given_options, takes_metric
from reid_ext.cli.runs import Evaluated, Files, check_files, evaluated, read_files
from reid_ext.cli.sides import add_files, add_metric
from reid_ext.evaluation import AVERAGE_PRECISIONS, PROTOCOLS, Pairs, Ranking, evaluate
from reid_ext.report import write_report

MAX_RANK = signature(evaluate).parameters["max_rank"].default


def add_commands(groups: Any) -> None:
    """Add ``evaluate`` to the subparsers of the command line."""
    what = "compute CMC, mAP and mINP from feature files"
    parser = add_command(groups, "evaluate", what, _evaluate)
    group = group_of(parser, "data")
    add_files(group)
    what = "files of another trial to average with the first, repeatable (default: none)"
    files: dict[str, Any] = {"metavar": "QUERY.npz,GALLERY.npz", "action": "append", "default": []}
    group.add_argument("--trial", help=what, **files)
    _add_protocol(group_of(parser, "evaluation"))
    protocols.add_settings(parser)
    group = group_of(parser, "evaluation, re-ranking")
    group.add_argument("--rerank", action="store_true", help="rank by re-ranked distances")
    add_options(group)
    group = group_of(parser, "output")
    what = "HTML page to write with figures and the hardest queries (default: none)"
    group.add_argument("--report", type=Path, metavar="OUT.html", help=what)
    what = "files of another run to show in the report, repeatable (default: none)"
    group.add_argument("--compare", help=what, **{**files, "metavar": f"NAME={files['metavar']}"})
    group.add_argument("--name", help="name of this run in the report (default: this run)")
    what = "also print 95 %% confidence intervals, by bootstrap over the queries"
    group.add_argument("--confidence", action="store_true", help=what)
    what = "fail if a warning says that the metrics are probably meaningless"
    group.add_argument("--strict", action="store_true", help=what)
    what = "with --json, also the average precision and INP of each query"
    group.add_argument("--per-query", action="store_true", help=what)
    add_json(parser)


def _add_protocol(group: Any) -> None:
    known = list(PROTOCOLS)
    what = f"evaluation protocol: {', '.join(known)} (default: {protocols.DEFAULT})"
    default = protocols.DEFAULT
    group.add_argument("--protocol", choices=known, default=default, metavar="NAME", help=what)
    add_metric(group, "that of the protocol")
    what = "leave out the gallery row with the query's number, for a set searched against itself"
    group.add_argument("--leave-one-out", action="store_true", help=what)
    what = "rule of the average precision (default: that of the protocol)"
    group.add_argument("--average-precision", choices=AVERAGE_PRECISIONS, help=what)
    what = f"length of the CMC (default: {MAX_RANK})"
    group.add_argument("--max-rank", type=int, default=MAX_RANK, metavar="K", help=what)


def _evaluate(args: argparse.Namespace) -> Result:
    device = read_device(args.device)
    options = {
        "metric": args.metric,
        "max_rank": args.max_rank,
        "average_precision": args.average_precision,
        "rerank": _reranking(args),
        **({"junk": _is_itself} if args.leave_one_out else {}),
        **protocols.given_settings(args),
    }
    _check_confidence(args)
    _check_output(args)
    sources = _sources(args)
    check_files(args, sources)
    for files in (one for trials in sources.values() for one in trials):
        if args.leave_one_out and files.gallery != files.query:
            got = f"{files.query} and {files.gallery}"
            raise WrongUse(f"--leave-one-out must be used with one file given twice, got {got}")
    found = [evaluated(args, device, name, files, options) for name, files in sources.items()]
    lines: list[str | Table] = []
    facts: dict[str, Any] = {"ok": True}
    for one in found:
        lines += [f"{one.run.name}:"] * (len(found) > 1) + _lines(one, args.confidence)
        if one is found[0]:
            facts |= _facts(one, args)
        else:
            compared = facts.setdefault("compare", {})
            compared[one.run.name] = _facts(one, args)
    if args.report is not None:
        with writes("--report", args.report):
            write_report(args.report, [one.run for one in found])
        lines.append(f"report: {args.report}")
        facts["report"] = str(args.report)
    warnings = [f for one in found for f in one.run.ranking.findings if f.is_warning]
    facts["ok"] = not (args.strict and warnings)
    return Result(lines, facts, facts["ok"])


def _is_itself(pairs: Pairs) -> Tensor:
    """The pairs of an image with itself, if queries and gallery are the same rows."""
    return pairs.query_rows == pairs.gallery_rows


def _reranking(args: argparse.Namespace) -> dict[str, Any] | bool:
    """The arguments of the re-ranking, or False without re-ranking."""
    if args.rerank:
        options = given_options(args)
        if args.metric is not None and not takes_metric(options):
            raise WrongUse(
                f"--metric must be left out with --method {args.method}, which has no metric, "
                f"got {args.metric}"
            )
        return options or True
    for name in OPTIONS:
        if getattr(args, name) is not None:
            raise WrongUse(
                f"{flag_of(name)} must be left out without --rerank, got {getattr(args, name)}"
            )
    return False


def _check_confidence(args: argparse.Namespace) -> None:
    if not args.confidence:
        return
    if args.trial:
        what = "which already prints the smallest and largest value over the trials"
        raise WrongUse(f"--confidence must be left out with --trial, {what}")
    takers = [p for p in PROTOCOLS.values() if p.cmc_of_first_matches and not p.draws]
    if PROTOCOLS[args.protocol] not in takers:
        raise WrongUse(
            f"--confidence must be left out with --protocol {args.protocol}; it is for "
            f"{protocols.names(takers)}"
        )


def _check_output(args: argparse.Namespace) -> None:
    """Check the flags of the output before any work."""
    if args.per_query and not args.json:
        raise WrongUse("--per-query must be used with --json, got --per-query alone")
    if args.compare and args.trial:
        raise WrongUse("--compare must be left out with --trial, whose files are all of one run")
    if args.report is None:
        for flag, value in (("--compare", args.compare), ("--name", args.name)):
            if value:
                raise WrongUse(f"{flag} must be left out without --report, got {value}")
        return
    check_place("--report", args.report, [".html", ".htm"])


def _sources(args: argparse.Namespace) -> dict[str, list[Files]]:
    """The files of each run; the keys are the names of the runs."""
    own = [Files(args.query, args.gallery)]
    own += [read_files("--trial", text) for text in args.trial]
    sources = {args.name or "this run": own}
    for text in args.compare:
        name, _, files = text.partition("=")
        if not (name and files.partition(",")[0]):
            raise WrongUse(f"--compare must be NAME=QUERY.npz,GALLERY.npz, got {text!r}")
        if name in sources:
            raise WrongUse(f"--name and --compare must have different names, got {name} twice")
        sources[name] = [read_files("--compare", files)]
    return sources


def _lines(one: Evaluated, confidence: bool) -> list[str | Table]:
    ranking = one.run.ranking
    words = "95 % confidence interval"
    if ranking.trials:
        words = f"least to largest of {len(ranking.trials)} trials"
    shown = _ends(one, confidence).items()
    return [
        _table(ranking),
        *(f"{words}: {name} {100 * low:.2f} to {100 * high:.2f} %" for name, (low, high) in shown),
    ]


def _facts(one: Evaluated, args: argparse.Namespace) -> dict[str, Any]:
    facts = one.run.ranking.to_dict(per_query=args.per_query)
    facts["not_finite"] = [found._asdict() for found in one.not_finite]
    if ends := _ends(one, args.confidence):
        facts["trials_range" if one.run.ranking.trials else "confidence"] = ends
    return facts


def _ends(one: Evaluated, confidence: bool) -> dict[str, list[float]]:
    """The range of rank-1, mAP and mINP over the trials, or their confidence interval."""
    found = one.run.spread() if confidence or one.run.ranking.trials else None
    if found is None:
        return {}
    return {
        "rank1": [float(end[0]) for end in found.cmc],
        "mAP": [float(end) for end in found.mAP],
        "mINP": [float(end) for end in found.mINP],
    }


def _table(ranking: Ranking) -> Table:
    """The metrics in percent; in a pipe, the text of the ranking."""
    values = {f"rank-{k}": ranking.rank(k) for k in (1, 5, 10, 20) if k <= len(ranking.cmc)}
    values |= {"mAP": ranking.mAP, "mINP": ranking.mINP}
    table = Table(list(values), [[f"{100 * value:.2f}" for value in values.values()]])
    return table._replace(plain=str(ranking))
