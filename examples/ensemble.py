"""Evaluate several networks together by concatenating their features.

    for p in whole top middle bottom; do
      python examples/train_market1501.py --loss va --set part=$p --out runs/$p
    done
    python examples/ensemble.py runs/whole runs/top runs/middle runs/bottom

Each RUN is the output folder of a training script for Market-1501,
DukeMTMC-reID, CUHK03-NP, MSMT17 or VeRi-776, with the real or the synthetic
dataset. The features of each network have unit length, so that all networks
have the same weight. The released code of VA-reID combines one network for the
whole image and one for each third of it in this way. The script prints the
results of each network and of all networks together.
"""

import argparse
import json
from pathlib import Path

import torch
from torch.nn import functional as F

from reid_ext import data, evaluate, export, training
from reid_ext.evaluation import PROTOCOLS
from reid_ext.training import results
from reid_ext.training.command_line import known_device, one_line_errors
from reid_ext.training.job import synthetic_root


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = "output folder of a training script"
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=what)
    what = "processes that read images (default: 0, the main process)"
    parser.add_argument("--workers", type=int, default=0, metavar="N", help=what)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    what = f"device to compute on: cpu, cuda or cuda:N (default: {device})"
    parser.add_argument("--device", type=known_device, default=device, help=what)
    return parser.parse_args()


def test_set(run):
    """Return the dataset on whose test images a run was evaluated."""
    file = run / "metrics.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"RUN must be the output folder of a training, got {run} without {file.name}"
        )
    try:
        metrics = json.loads(file.read_text())
        name, settings = metrics["dataset"].split(" ")[0], metrics["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"RUN must be the output folder of a training, got {run} whose {file.name} has another "
            f"content ({type(error).__name__})"
        ) from None
    one_gallery = [name for name, protocol in PROTOCOLS.items() if not protocol.draws]
    if name not in one_gallery:
        known = ", ".join(one_gallery)
        raise ValueError(f"RUN must be a run on one of {known}, got {run} on {name}")
    root = settings["data"] or synthetic_root(name, settings["quick"])
    return data.load(name, root, evaluate_on=settings["evaluate_on"])


def features(run, samples, args):
    """The features of the samples, one row of unit length each."""
    embedder = export.load_embedder(run / "checkpoint.pt")
    transform = data.EvaluationTransform(size=embedder.size)
    images = data.Images(samples, transform, part=embedder.part)
    rows = training.extract(embedder.model, images, device=args.device, workers=args.workers)
    return F.normalize(rows.tensor())


def ranked(dataset, query, gallery):
    return evaluate(
        query,
        gallery,
        query_ids=[s.identity for s in dataset.query],
        gallery_ids=[s.identity for s in dataset.gallery],
        query_cameras=[s.camera for s in dataset.query],
        gallery_cameras=[s.camera for s in dataset.gallery],
        protocol=dataset.name,
    )


def main():
    args = arguments()
    datasets = [test_set(run) for run in args.runs]
    if any(d != datasets[0] for d in datasets):
        raise ValueError("RUN must have the same test images as the first run, got other images")
    dataset = datasets[0]
    sides = [[features(run, part, args) for part in dataset[2:]] for run in args.runs]
    rankings = {
        str(run): ranked(dataset, *side) for run, side in zip(args.runs, sides, strict=True)
    }
    rankings["all"] = ranked(dataset, *(torch.cat(rows, 1) for rows in zip(*sides, strict=True)))
    print(results.table(rankings))


if __name__ == "__main__":
    with one_line_errors():
        main()
