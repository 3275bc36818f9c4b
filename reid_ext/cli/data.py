"""``reid-ext data check``, ``reid-ext data convert`` and ``reid-ext data synthesize``."""

import argparse
from pathlib import Path
from typing import Any

from reid_ext import synthetic
from reid_ext.cli.command import Result, WrongUse, key_and_value
from reid_ext.cli.evaluation_plan import evaluation_plan
from reid_ext.data import cuhk03
from reid_ext.data.checking import check, lines
from reid_ext.data.readers import cuhk03_mat, registry
from reid_ext.synthetic.workers import number_of_workers


def add_commands(groups: Any) -> None:
    """Add the group ``data`` to the subparsers of the command line."""
    commands = groups.add_parser("data", help="datasets").add_subparsers(
        required=True, metavar="COMMAND"
    )
    _add_check(commands)
    _add_convert(commands)
    _add_synthesize(commands)


def _add_check(commands: Any) -> None:
    parser = commands.add_parser("check", help="what is wrong with a dataset's folder")
    parser.add_argument("name", metavar="NAME", choices=list(registry.MODULES))
    parser.add_argument("root", metavar="ROOT", type=Path)
    parser.add_argument("--fast", action="store_true", help="do not open the images")
    what = "as of the reader, such as trial=3, boxes=labeled, train_on=trainval"
    parser.add_argument("--split", metavar="KEY=VALUE", action="append", default=[], help=what)
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=_check)


def _add_convert(commands: Any) -> None:
    what = "write a dataset that comes in MATLAB files as folders of images, once"
    parser = commands.add_parser("convert", help=what)
    parser.add_argument("name", metavar="NAME", choices=[cuhk03.NAME])
    parser.add_argument("source", metavar="SOURCE", type=Path)
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--boxes", choices=[*cuhk03.BOXES, "both"], default="both")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=_convert)


def _add_synthesize(commands: Any) -> None:
    parser = commands.add_parser("synthesize", help="draw made-up people in a dataset's layout")
    parser.add_argument("name", metavar="NAME", choices=list(synthetic.LAYOUTS))
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--preset", default="default", help="default or tiny")
    counts = {"type": int, "help": "see reid_ext.data.synthesize"}
    parser.add_argument("--identities", nargs=3, metavar=("TRAIN", "VAL", "TEST"), **counts)
    parser.add_argument("--images", nargs=2, metavar=("FIRST", "SECOND"), **counts)
    parser.add_argument("--difficulty", type=float)
    parser.add_argument("--occlusion", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, help="processes; default: as many as pay")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=_synthesize)


def _check(args: argparse.Namespace) -> Result:
    split = dict(key_and_value("--split", text) for text in args.split)
    try:
        registry.check_split("data check", args.name, split)
    except ValueError as error:
        raise WrongUse(str(error)) from None
    report = check(args.name, args.root, images=not args.fast, **split)
    plan = evaluation_plan(report)
    facts = {
        "name": report.name,
        "root": str(report.root),
        "ok": report.ok,
        "splits": {role: summary._asdict() for role, summary in report.splits.items()},
        "evaluation": plan,
        "findings": [
            {**finding._asdict(), "paths": [str(path) for path in finding.paths]}
            for finding in report.findings
        ],
    }
    *shown, verdict = lines(report)
    planned = [f"evaluation: {line}" for line in plan]
    return Result([*shown, *planned, verdict], facts, report.ok)


def _convert(args: argparse.Namespace) -> Result:
    root = cuhk03_mat.convert(args.source, args.out, args.boxes)
    return Result([f"{args.name}: {root}"], {"ok": True, "root": str(root)})


def _synthesize(args: argparse.Namespace) -> Result:
    changes = {
        "identities": args.identities and tuple(args.identities),
        "images": args.images and tuple(args.images),
        "difficulty": args.difficulty,
        "occlusion": args.occlusion,
        "seed": args.seed,
    }
    try:
        settings = synthetic.settings_of(args.name, args.preset, **changes)
        number_of_workers(args.workers, 0)
    except ValueError as error:
        raise WrongUse(str(error)) from None
    root = synthetic.synthesize(
        args.name, args.out, preset=args.preset, workers=args.workers, **changes
    )
    facts = {"ok": True, "root": str(root), **settings.manifest(args.name)}
    return Result([f"{args.name}: made-up people in {root}"], facts)
