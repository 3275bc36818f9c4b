"""``reid-ext data check``, ``reid-ext data convert`` and ``reid-ext data synthesize``."""

import argparse
from pathlib import Path
from typing import Any

from reid_ext import synthetic
from reid_ext.cli.command import Result, add_command, add_json, group_of, key_and_value, wrong_use
from reid_ext.cli.evaluation_plan import evaluation_plan
from reid_ext.data import (
    READERS,
    SYNTHETIC_SEED,
    CheckReport,
    check,
    check_split,
    convert_cuhk03,
    cuhk03,
    numbers_of_labels,
    report_lines,
)
from reid_ext.synthetic import number_of_workers


def add_commands(groups: Any) -> None:
    """Add the group ``data`` to the subparsers of the command line."""
    what = "check or convert a dataset, or render the synthetic one"
    parser = groups.add_parser("data", help=what, description=f"{what[0].upper()}{what[1:]}.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_check(commands)
    _add_convert(commands)
    _add_synthesize(commands)


def add_dataset(group: Any) -> None:
    """Add the positional arguments NAME and ROOT of a dataset to a group."""
    what = f"dataset: {', '.join(READERS)}"
    group.add_argument("name", metavar="NAME", choices=list(READERS), help=what)
    group.add_argument("root", metavar="ROOT", type=Path, help="folder of the dataset")


def add_split(group: Any, such_as: str) -> None:
    """Add ``--split`` to a group."""
    what = f"argument of the dataset's reader, such as {such_as}, repeatable (default: none)"
    group.add_argument("--split", metavar="KEY=VALUE", action="append", default=[], help=what)


def _add_check(commands: Any) -> None:
    what = "find missing, damaged and unexpected files of a dataset"
    parser = add_command(commands, "check", what, _check)
    group = group_of(parser, "data")
    add_dataset(group)
    group.add_argument("--fast", action="store_true", help="check without opening the images")
    what = "fail unless cameras and counts are the published ones"
    group.add_argument("--official", action="store_true", help=what)
    add_split(group, "trial=3, boxes=labeled or train_on=trainval")
    add_json(parser)


def _add_convert(commands: Any) -> None:
    what = "write a dataset that is published in MATLAB files as folders of images"
    parser = add_command(commands, "convert", what, _convert)
    group = group_of(parser, "data")
    names = [cuhk03.NAME]
    group.add_argument("name", metavar="NAME", choices=names, help=f"dataset: {', '.join(names)}")
    what = "folder of the published files"
    group.add_argument("source", metavar="SOURCE", type=Path, help=what)
    what = "kind of bounding boxes (default: both)"
    group.add_argument("--boxes", choices=[*cuhk03.BOXES, "both"], default="both", help=what)
    what = "folder for the images"
    group_of(parser, "output").add_argument("out", metavar="OUT", type=Path, help=what)
    add_json(parser)


def _add_synthesize(commands: Any) -> None:
    what = "render the built-in synthetic dataset in the layout of a real one"
    parser = add_command(commands, "synthesize", what, _synthesize)
    group = group_of(parser, "data")
    layouts = list(synthetic.LAYOUTS)
    what = f"layout: {', '.join(layouts)}"
    group.add_argument("name", metavar="NAME", choices=layouts, help=what)
    what = "amount of data, default or tiny (default: default)"
    group.add_argument("--preset", default="default", help=what)
    of_preset = "(default: as in the preset)"
    what = f"identities to train, validate and test on {of_preset}"
    splits = ("TRAIN", "VAL", "TEST")
    group.add_argument("--identities", type=int, nargs=3, metavar=splits, help=what)
    what = f"two numbers of images per camera, whose meaning depends on the layout {of_preset}"
    group.add_argument("--images", type=int, nargs=2, metavar=("FIRST", "SECOND"), help=what)
    what = f"amount of colour cast, blur, noise and bad framing, from 0 to 2 {of_preset}"
    group.add_argument("--difficulty", type=float, metavar="X", help=what)
    what = f"share of images with an object in front of the person {of_preset}"
    group.add_argument("--occlusion", type=float, metavar="X", help=what)
    what = f"seed of the identities and cameras (default: {SYNTHETIC_SEED})"
    group.add_argument("--seed", type=int, default=SYNTHETIC_SEED, metavar="N", help=what)
    what = "processes that render (default: chosen by the number of images and cores)"
    group.add_argument("--workers", type=int, metavar="N", help=what)
    what = "folder for the dataset"
    group_of(parser, "output").add_argument("out", metavar="OUT", type=Path, help=what)
    add_json(parser)


def _check(args: argparse.Namespace) -> Result:
    split = dict(key_and_value("--split", text) for text in args.split)
    with wrong_use():
        check_split("--split", args.name, split)
    report = check(args.name, args.root, images=not args.fast, official=args.official, **split)
    plan = evaluation_plan(report)
    facts = {
        "name": report.name,
        "root": str(report.root),
        "ok": report.ok,
        "splits": {role: summary._asdict() for role, summary in report.splits.items()},
        "files": _counted(report),
        "numbers": numbers_of_labels(report.dataset) if report.dataset else {},
        "evaluation": plan,
        "findings": [
            {**finding._asdict(), "paths": [str(path) for path in finding.paths]}
            for finding in report.findings
        ],
    }
    *shown, verdict = report_lines(report)
    planned = [f"evaluation: {line}" for line in plan]
    return Result([*shown, *planned, verdict], facts, report.ok)


def _counted(report: CheckReport) -> dict[str, Any] | None:
    if report.files is None:
        return None
    left_out, unexpected = (
        {why: [str(path) for path in paths] for why, paths in of.items()}
        for of in (report.files.left_out, report.files.unexpected)
    )
    return {**report.files._asdict(), "left_out": left_out, "unexpected": unexpected}


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
