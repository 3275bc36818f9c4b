"""``reid-ext extract``: computes feature files from images by any supported network."""

import argparse
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from reid_ext._runtime.arguments import integer
from reid_ext._runtime.dates import creation_time
from reid_ext._runtime.library import version
from reid_ext._runtime.progress import Progress
from reid_ext._runtime.writing import writes
from reid_ext.cli.command import (
    Result,
    add_command,
    add_device,
    add_images_flags,
    add_json,
    group_of,
    height_and_width,
    key_and_value,
    read_device,
    read_weights_flag,
    wrong_use,
)
from reid_ext.cli.data import add_dataset, add_split
from reid_ext.cli.protocols import protocol_of
from reid_ext.data import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    EvaluationTransform,
    Images,
    Sample,
    check_split,
    files,
    load,
)
from reid_ext.export import Embedder, load_embedder
from reid_ext.features import FeatureSet
from reid_ext.training import PRECISIONS, extract


def add_commands(groups: Any) -> None:
    """Add ``extract`` to the subparsers of the command line."""
    what = "write the features of a dataset's queries and gallery"
    parser = add_command(groups, "extract", what, _extract)
    data, model = group_of(parser, "data"), group_of(parser, "model")
    what = "network: checkpoint.pt, weights.safetensors, model.onnx or timm:NAME"
    model.add_argument("checkpoint", metavar="CHECKPOINT", help=what)
    add_dataset(data)
    add_split(data, "trial=3, boxes=labeled or evaluate_on=val")
    what = "processes that read images, where 0 means the main process (default: 0)"
    data.add_argument("--workers", type=int, default=0, metavar="N", help=what)
    add_images_flags(model)
    what = "images per batch (default: 128)"
    model.add_argument("--batch-size", type=int, default=128, metavar="N", help=what)
    what = "average the features of each image and its mirror image"
    model.add_argument("--flip", action="store_true", help=what)
    add_device(model)
    what = "precision of the products in the network (default: float32)"
    model.add_argument("--precision", choices=list(PRECISIONS), default="float32", help=what)
    what = "folder for query.npz and gallery.npz (default: the current folder)"
    group_of(parser, "output").add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help=what
    )
    add_json(parser)


def _extract(args: argparse.Namespace) -> Result:
    device = read_device(args.device)
    size = height_and_width("--size", args.size)
    split = dict(key_and_value("--split", text) for text in args.split)
    with wrong_use():
        check_split("--split", args.name, split)
    integer("extract", "batch_size", args.batch_size, 1)
    integer("extract", "workers", args.workers, 0)
    weights = read_weights_flag(args)
    dataset = load(args.name, args.root, **split)
    account = files(dataset, args.root, **split)
    protocol = protocol_of(dataset)
    embedder = load_embedder(args.checkpoint, size=size, weights=weights)
    with writes("--out", args.out):
        args.out.mkdir(parents=True, exist_ok=True)
    source = _source(args, embedder, split)
    facts: dict[str, Any] = {"ok": True, "files": {}, "protocol": protocol.name}
    facts["dataset"] = {"seen": account.seen, "used": account.used, **account.counts()}
    lines, sets = [str(account)], {}
    sides = {"query": dataset.query, "gallery": dataset.gallery}
    for side, samples in list(sides.items())[: 1 if protocol.one_set else 2]:
        path = args.out / f"{side}.npz"
        start = time.perf_counter()
        sets[path] = _features(args, embedder, side, samples, source, device)
        rate = len(samples) / max(time.perf_counter() - start, 1e-9)
        dim = sets[path].features.shape[1]  # type: ignore[union-attr]
        found = {"images": len(samples), "feature_dim": dim, "images_per_second": rate}
        facts["files"][str(path)] = found
        lines.append(f"{path}: {len(samples)} images, {dim} features each, {rate:.0f} images/s")
    with writes("--out", args.out):
        # If the command is interrupted here, no old gallery remains beside the new queries.
        (args.out / "gallery.npz").unlink(missing_ok=True)
        for path, features in sets.items():
            features.save(path)
    written = " ".join(shlex.quote(str(path)) for path in sets)
    lines.append(f"reid-ext evaluate {written} --protocol {protocol.name}")
    return Result(lines, facts)


def _features(
    args: argparse.Namespace,
    embedder: Embedder,
    side: str,
    samples: Sequence[Sample],
    source: dict[str, Any],
    device: torch.device,
) -> FeatureSet:
    images = Images(samples, EvaluationTransform(size=embedder.size), part=embedder.part)
    with Progress(len(images), side) as progress:
        return extract(
            embedder.model,
            images,
            dataset=args.name,
            source=source,
            batch_size=args.batch_size,
            device=device,
            precision=args.precision,
            flip=args.flip,
            workers=args.workers,
            progress=progress,
        )


def _source(
    args: argparse.Namespace, embedder: Embedder, split: dict[str, str | int]
) -> dict[str, Any]:
    """Where the features come from, for the file."""
    model = {"weights": args.weights} if args.checkpoint.startswith("timm:") else {}
    return {
        "model": args.checkpoint,
        **model,
        "preprocessing": {
            "size": list(embedder.size),
            "part": embedder.part,
            "mean": list(IMAGENET_MEAN),
            "std": list(IMAGENET_STD),
            "flip": args.flip,
        },
        "precision": args.precision,
        "dataset": args.name,
        "split": split,
        "created": creation_time("extract").isoformat(timespec="seconds"),
        "by": f"reid_ext {version()}",
    }
