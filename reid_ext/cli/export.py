"""``reid-ext export``: a trained network as a file for other programs."""

import argparse
from pathlib import Path
from typing import Any

from reid_ext.cli.command import (
    Result,
    WrongUse,
    add_command,
    add_images_flags,
    add_json,
    group_of,
    height_and_width,
    read_weights_flag,
)
from reid_ext.export import ENDINGS, export_model, load_embedder


def add_commands(groups: Any) -> None:
    """Add ``export`` to the subparsers of the command line."""
    what = "write a trained network for other programs"
    parser = add_command(groups, "export", what, _export)
    model, output = group_of(parser, "model"), group_of(parser, "output")
    what = "network: checkpoint.pt, weights.safetensors or timm:NAME"
    model.add_argument("checkpoint", metavar="CHECKPOINT", help=what)
    what = "file to write, with the ending of its format"
    output.add_argument("out", metavar="OUT", type=Path, help=what)
    what = "format of the file (required)"
    output.add_argument("--format", choices=list(ENDINGS), required=True, help=what)
    add_images_flags(model)
    add_json(parser)


def _export(args: argparse.Namespace) -> Result:
    if args.out.suffix != ENDINGS[args.format]:
        raise WrongUse(
            f"OUT must end in {ENDINGS[args.format]} for --format {args.format}, got {args.out}"
        )
    weights = read_weights_flag(args)
    size = height_and_width("--size", args.size)
    embedder = load_embedder(args.checkpoint, size=size, weights=weights)
    found = export_model(embedder, args.out, args.format)
    facts = {
        "ok": True,
        "out": str(args.out),
        "format": args.format,
        "inputs": list(found.inputs),
        "size": list(embedder.size),
        "largest_difference": found.largest_difference,
    }
    height, width = embedder.size
    lines = [
        f"{args.out}: {args.format}, inputs {' and '.join(found.inputs)}, {height} x {width} "
        "pixels, any batch",
        f"features differ from the network's by {found.largest_difference:.1e} of the largest one",
    ]
    return Result(lines, facts)
