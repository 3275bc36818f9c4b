"""``reid-ext data check``, ``reid-ext data convert`` and ``reid-ext data synthesize``."""

import argparse
from pathlib import Path
from typing import Any

from reid_ext import synthetic
from reid_ext.cli.command import Result, add_command, add_json, key_and_value, wrong_use
from reid_ext.cli.evaluation_plan import evaluation_plan
from reid_ext.data import READERS, check, check_split, convert_cuhk03, cuhk03, report_lines
from reid_ext.synthetic import number_of_workers


def add_commands(groups: Any) -> None:
    """Add the group ``data`` to the subparsers of the command line."""
    commands = groups.add_parser("data", help="check, convert or draw a dataset").add_subparsers(
        required=True, metavar="COMMAND"
    )
    _add_check(commands)
    _add_convert(commands)
    _add_synthesize(commands)


def _add_check(commands: Any) -> None:
    what = "find what is missing, damaged or odd in a dataset's folder"
    parser = add_command(commands, "check", what, _check)
    parser.add_argument("name", metavar="NAME", choices=list(READERS))
    parser.add_argument("root", metavar="ROOT", type=Path)
    parser.add_argument("--fast", action="store_true", help="do not open the images")
    what = "argument of the dataset's reader, such as trial=3, boxes=labeled, train_on=trainval"
    parser.add_argument("--split", metavar="KEY=VALUE", action="append", default=[], help=what)
    add_json(parser)


def _add_convert(commands: Any) -> None:
    what = "write a dataset that comes in MATLAB files as folders of images, once"
    parser = add_command(commands, "convert", what, _convert)
    parser.add_argument("name", metavar="NAME", choices=[cuhk03.NAME])
    parser.add_argument("source", metavar="SOURCE", type=Path)
    parser.add_argument("out", metavar="OUT", type=Path)
    what = "kind of bounding boxes (default: both)"
    parser.add_argument("--boxes", choices=[*cuhk03.BOXES, "both"], default="both", help=what)
    add_json(parser)


def _add_synthesize(commands: Any) -> None:
    what = "draw the built-in synthetic dataset in the layout of a real one"
    parser = add_command(commands, "synthesize", what, _synthesize)
    parser.add_argument("name", metavar="NAME", choices=list(synthetic.LAYOUTS))
    parser.add_argument("out", metavar="OUT", type=Path)
    what = "default or tiny: how much is drawn unless the next four flags say so"
    parser.add_argument("--preset", default="default", help=what)
    what = "people to train, validate and test on"
    splits = ("TRAIN", "VAL", "TEST")
    parser.add_argument("--identities", type=int, nargs=3, metavar=splits, help=what)
    what = "images per camera; what the two numbers count depends on the layout"
    parser.add_argument("--images", type=int, nargs=2, metavar=("FIRST", "SECOND"), help=what)
    what = "colour cast, blur, noise and bad framing, from 0 to 2"
    parser.add_argument("--difficulty", type=float, help=what)
    what = "fraction of images with something in front of the person"
    parser.add_argument("--occlusion", type=float, help=what)
    parser.add_argument("--seed", type=int, default=0, help="of people and cameras (default: 0)")
    what = "processes (default: as many as speed it up)"
    parser.add_argument("--workers", type=int, help=what)
    add_json(parser)


def _check(args: argparse.Namespace) -> Result:
    split = dict(key_and_value("--split", text) for text in args.split)
    with wrong_use():
        check_split("--split", args.name, split)
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
    *shown, verdict = report_lines(report)
    planned = [f"evaluation: {line}" for line in plan]
    return Result([*shown, *planned, verdict], facts, report.ok)


def _convert(args: argparse.Namespace) -> Result:
    root = convert_cuhk03(args.source, args.out, args.boxes)
    return Result([f"{args.name}: {root}"], {"ok": True, "root": str(root)})


def _synthesize(args: argparse.Namespace) -> Result:
    changes = {
        "identities": args.identities and tuple(args.identities),
        "images": args.images and tuple(args.images),
        "difficulty": args.difficulty,
        "occlusion": args.occlusion,
        "seed": args.seed,
    }
    with wrong_use():
        settings = synthetic.settings_of(args.name, args.preset, **changes)
        number_of_workers(args.workers, 0)
    root = synthetic.synthesize(
        args.name, args.out, preset=args.preset, workers=args.workers, **changes
    )
    facts = {"ok": True, "root": str(root), **settings.manifest(args.name)}
    return Result([f"{args.name}: synthetic dataset in {root}"], facts)
