"""``reid-ext rerank``, and the flags of a re-ranking that ``evaluate`` has as well."""

import argparse
from pathlib import Path
from typing import Any

import torch

from reid_ext._runtime.arguments import integer
from reid_ext._runtime.writing import writes
from reid_ext.cli.command import (
    Result,
    WrongUse,
    about_files,
    add_command,
    add_json,
    check_place,
    group_of,
    read_device,
)
from reid_ext.cli.sides import add_files, add_metric, read_sides
from reid_ext.evaluation import METHODS, rerank
from reid_ext.features import write_arrays

DEFAULT, DEFAULT_METRIC = next(iter(METHODS)), "cosine"
TYPES = {"k1": int, "k2": int, "lambda_value": float, "alpha": float}
WHAT = {
    "k1": "number of neighbours of an image",
    "k2": "number of nearest images, itself included, to average an image over",
    "lambda_value": "weight of the original distance, from 0 to 1",
    "alpha": "exponent of the weights",
}
OPTIONS = ("method", *TYPES)


def add_commands(groups: Any) -> None:
    """Add ``rerank`` to the subparsers of the command line."""
    what = "write the re-ranked distances of two feature files"
    parser = add_command(groups, "rerank", what, _rerank)
    add_files(group_of(parser, "data"))
    group = group_of(parser, "evaluation")
    add_metric(group, DEFAULT_METRIC)
    add_options(group)
    group = group_of(parser, "output")
    what = "file for the distances and, with --top, the indices (required)"
    group.add_argument("--out", type=Path, required=True, metavar="FILE.npz", help=what)
    what = "number of gallery images to keep per query (default: all)"
    group.add_argument("--top", type=int, metavar="N", help=what)
    add_json(parser)


def add_options(parser: Any) -> None:
    """Add the flags of all methods to a group; the value of a flag that is not given is None."""
    what = f"method of re-ranking (default: {DEFAULT})"
    parser.add_argument("--method", choices=list(METHODS), help=what)
    for name, kind in TYPES.items():
        takers = {method: given[name] for method, given in METHODS.items() if name in given}
        words = f"{WHAT[name]}, for {', '.join(takers)} (default: {next(iter(takers.values()))})"
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, metavar="N" if kind is int else "X", help=words)


def given_options(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of :func:`reid_ext.rerank` that were given, without the metric."""
    return {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}


def takes_metric(options: dict[str, Any]) -> bool:
    """Whether the user can choose the metric of the method."""
    return "metric" in METHODS[options.get("method", DEFAULT)]


def _rerank(args: argparse.Namespace) -> Result:
    check_place("--out", args.out, [".npz"])
    if args.out.exists() and any(
        args.out.samefile(f) for f in (args.query, args.gallery) if f and f.exists()
    ):
        raise WrongUse(f"--out must not be an input file, got {args.out}; choose another name")
    options = given_options(args)
    if args.metric or takes_metric(options):
        options["metric"] = args.metric or DEFAULT_METRIC
    if args.top is not None:
        integer("rerank", "top", args.top, 1)
    device = read_device(args.device)
    with about_files(args.query, args.gallery):
        query, gallery, _ = read_sides(args.query, args.gallery, device)
        if gallery is None:
            raise WrongUse(
                f"GALLERY.npz is required, because {args.query} holds one side only; give a second "
                "file, or one file with queries and gallery"
            )
        found = rerank(query, gallery, top=args.top, **options)
    arrays = {"distances": found} if isinstance(found, torch.Tensor) else found._asdict()
    with writes("--out", args.out):
        write_arrays(args.out, {name: array.cpu().numpy() for name, array in arrays.items()})
    shape = " x ".join(map(str, arrays["distances"].shape))
    facts = {"ok": True, "out": str(args.out), "shape": list(arrays["distances"].shape)}
    return Result([f"{args.out}: {', '.join(arrays)} of shape {shape}"], facts)
