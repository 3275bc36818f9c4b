"""``reid-ext extract``: from images to feature files, by any network that embeds them."""

import argparse
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from reid_ext._runtime.progress import Progress
from reid_ext._runtime.writing import writes
from reid_ext.cli.command import (
    Result,
    WrongUse,
    at_least,
    height_and_width,
    key_and_value,
    read_device,
    read_weights_flag,
)
from reid_ext.cli.evaluation_plan import protocol_of
from reid_ext.cli.features import write_arrays
from reid_ext.data import Dataset, EvaluationTransform, Images, Sample
from reid_ext.data.readers import registry
from reid_ext.export import load_embedder
from reid_ext.training import extract
from reid_ext.training.precision import PRECISIONS

UNKNOWN_VIEW = -1


def add_commands(groups: Any) -> None:
    """Add ``extract`` to the subparsers of the command line."""
    parser = groups.add_parser("extract", help="features of a dataset's queries and gallery")
    what = "checkpoint.pt, weights.safetensors, model.onnx or timm:NAME"
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=what)
    parser.add_argument("name", metavar="NAME", choices=list(registry.MODULES))
    parser.add_argument("root", metavar="ROOT", type=Path)
    out = "folder of query.npz and gallery.npz; default: here"
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help=out)
    what = "as of the reader, such as trial=3, boxes=labeled, evaluate_on=val"
    parser.add_argument("--split", metavar="KEY=VALUE", action="append", default=[], help=what)
    parser.add_argument("--size", metavar="HxW", help="of the images; default: as trained")
    weights = "of timm:NAME: imagenet (default), none or a file"
    parser.add_argument("--weights", default="imagenet", help=weights)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--flip", action="store_true", help="average with the mirror image")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=list(PRECISIONS), default="float32")
    parser.add_argument("--workers", type=int, default=0, help="processes that read images")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=_extract)


def _extract(args: argparse.Namespace) -> Result:
    device = read_device(args.device)
    size = height_and_width("--size", args.size)
    split = dict(key_and_value("--split", text) for text in args.split)
    try:
        registry.check_split("extract", args.name, split)
    except ValueError as error:
        raise WrongUse(str(error)) from None
    at_least("--batch-size", args.batch_size, 1)
    at_least("--workers", args.workers, 0)
    weights = read_weights_flag(args)
    dataset: Dataset = registry.load(args.name, args.root, **split)
    embedder = load_embedder(args.checkpoint, size=size, weights=weights)
    with writes("--out", args.out):
        args.out.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {"ok": True, "files": {}}
    lines, arrays = [], {}
    for side, samples in (("query", dataset.query), ("gallery", dataset.gallery)):
        images = Images(samples, EvaluationTransform(size=embedder.size), part=embedder.part)
        start = time.perf_counter()
        with Progress(len(images), side) as progress:
            features = extract(
                embedder.model,
                images,
                batch_size=args.batch_size,
                device=device,
                precision=args.precision,
                flip=args.flip,
                workers=args.workers,
                progress=progress,
            )
        rate = len(images) / max(time.perf_counter() - start, 1e-9)
        path = args.out / f"{side}.npz"
        arrays[path] = _arrays(samples, features)
        found = {"images": len(images), "feature_dim": features.shape[1]}
        facts["files"][str(path)] = {**found, "images_per_second": rate}
        lines.append(
            f"{path}: {len(images)} images of {features.shape[1]} features, {rate:.0f} images/s"
        )
    with writes("--out", args.out):
        # stopped in the middle, no old gallery stands beside a new query
        (args.out / "gallery.npz").unlink(missing_ok=True)
        for path, content in arrays.items():
            write_arrays(path, content)
    if protocol := protocol_of(dataset):
        files = " ".join(shlex.quote(str(path)) for path in arrays)
        lines.append(f"reid-ext evaluate {files} --protocol {protocol}")
        facts["protocol"] = protocol
    return Result(lines, facts)


def _arrays(samples: Sequence[Sample], features: Tensor) -> dict[str, np.ndarray]:
    """What a feature file holds; views are -1 where not known, paths whole."""
    views = [UNKNOWN_VIEW if s.view is None else s.view for s in samples]
    return {
        "features": features.numpy(),
        "identities": np.array([s.identity for s in samples], np.int64),
        "cameras": np.array([s.camera for s in samples], np.int64),
        "views": np.array(views, np.int64),
        "modalities": np.array([s.modality for s in samples], np.int64),
        "paths": np.array([str(s.path.resolve()) for s in samples], np.str_),
    }
