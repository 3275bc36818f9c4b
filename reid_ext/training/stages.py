"""The stages of a training script: the data and recipe, the training, the features, the files.

What differs from dataset to dataset, its evaluation and figures, is in the script.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from reid_ext import data, distributed, models
from reid_ext.evaluation import Ranking
from reid_ext.losses import present_views
from reid_ext.training import experiment, report
from reid_ext.training.extract import extract
from reid_ext.training.inputs import transforms
from reid_ext.training.loop import Outcome
from reid_ext.training.loop import train as train_model
from reid_ext.training.objective import build_objective, method
from reid_ext.training.recipe import Recipe

EMBEDDED_SEED = 1  # the people of the tables in the docs
QUICK_ITERATIONS = 30


def prepare(
    args: argparse.Namespace, name: str, recipe: Recipe, embedded: Recipe
) -> tuple[Path, Recipe]:
    """Return the dataset's folder and its recipe: the real one's, or the embedded one's."""
    if args.data:
        return args.data, experiment.adapted(recipe, args)
    preset = "tiny" if args.quick else "default"
    root = experiment.cache_folder() / f"{name}-{preset}"
    print(f"no --data: made-up people in the layout of {name}, in {root}")
    with distributed.main_first():
        data.synthesize(name, root, preset=preset, seed=EMBEDDED_SEED)
    return root, experiment.adapted(embedded, args)


def train(
    args: argparse.Namespace, dataset: data.Dataset, recipe: Recipe
) -> tuple[models.TwoStream, Outcome, Recipe]:
    """Return the trained model, how the training went, and the recipe that was followed."""
    args.out.mkdir(parents=True, exist_ok=True)
    args.resume = args.resume or _is_under_way(args.out / "checkpoint.pt")
    if args.views:
        dataset, missing = data.with_views(dataset, data.read_view_labels(args.views))
        known = len(dataset.train) - missing["train"]
        print(f"{args.views}: views of {known} of {len(dataset.train)} training images")
    labels = data.relabel(dataset.train)
    transform, _ = transforms(recipe)
    images = data.Images(dataset.train, transform, labels=labels, cache=not args.data)
    sampler = _sampler(dataset, recipe, args.seed)
    iterations = args.epochs * len(sampler) if args.epochs else recipe.iterations
    neck = method(args.loss).neck or recipe.neck
    recipe = replace(recipe, iterations=QUICK_ITERATIONS if args.quick else iterations, neck=neck)
    torch.manual_seed(args.seed)
    weights = args.weights or (None if recipe.backbone == "small" else "imagenet")
    backbone = models.build_backbone(recipe.backbone, None if weights == "none" else weights)
    model = models.TwoStream(backbone, len(labels), neck=neck)
    if distributed.world_size() > 1:
        distributed.convert_norms(model)
    outcome = train_model(
        model,
        data.loader(images, sampler, args.workers, device=args.device),
        build_objective(args.loss, recipe, model, _present(dataset, labels)),
        recipe,
        sampler=sampler,
        device=args.device,
        precision=args.precision,
        checkpoint=args.out / "checkpoint.pt",
        resume=args.resume,
        settings={"dataset": dataset.name, "seed": args.seed},
        log_folder=args.out if distributed.is_main() else None,
    )
    return model, outcome, recipe


def embed(
    args: argparse.Namespace, dataset: data.Dataset, model: models.TwoStream, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """Return the features of the queries and of the gallery.

    Of several processes each embeds its share; all have the whole then.
    """
    _, transform = transforms(recipe)
    options = {"device": args.device, "precision": args.precision, "workers": args.workers}
    query, gallery = (
        _gathered(extract(model, data.Images(_share(samples), transform), **options), args.device)
        for samples in (dataset.query, dataset.gallery)
    )
    return query, gallery


def _is_under_way(checkpoint: Path) -> bool:
    """Whether torchrun has restarted the processes of a run that left a checkpoint."""
    return distributed.restarted() and checkpoint.is_file()


def _share(samples: Sequence[data.Sample]) -> Sequence[data.Sample]:
    """The samples of this process, a stretch of all."""
    first, end = (
        len(samples) * part // distributed.world_size()
        for part in (distributed.rank(), distributed.rank() + 1)
    )
    return samples[first:end]


def _gathered(features: Tensor, device: str) -> Tensor:
    return distributed.gather_rows(features.to(device)).cpu()


def finish(
    args: argparse.Namespace,
    dataset: data.Dataset,
    rankings: Mapping[str, Ranking],
    outcome: Outcome,
    recipe: Recipe,
    start: float,
) -> None:
    """Write metrics.json, whose headline is the first ranking, and print the table."""
    metrics = {
        "dataset": dataset.name if args.data else f"{dataset.name} (embedded)",
        "loss": args.loss,
        **report.metrics(next(iter(rankings.values()))),
        "seconds": time.perf_counter() - start,
        "training": outcome._asdict(),
        "results": {name: report.metrics(ranking) for name, ranking in rankings.items()},
        "settings": {**asdict(recipe), **vars(args)},
    }
    experiment.write_json(args.out / "metrics.json", metrics)
    print(report.table(rankings))
    print(f"{metrics['seconds']:.0f} s; metrics, checkpoint and figures in {args.out}")


def _sampler(
    dataset: data.Dataset, recipe: Recipe, seed: int
) -> data.TwoModalityBatches | data.IdentityBatches | distributed.ShareOfBatches:
    kind = data.TwoModalityBatches if recipe.modalities == 2 else data.IdentityBatches
    batches = kind(
        dataset.train, recipe.identities_per_batch, recipe.images_per_modality, seed=seed
    )
    return distributed.ShareOfBatches(batches) if distributed.world_size() > 1 else batches


def _present(dataset: data.Dataset, labels: Mapping[int, int]) -> Tensor | None:
    """The views each training identity shows; None where no view is known."""
    known = [s for s in dataset.train if s.view is not None]
    if not known:
        return None
    return present_views(
        torch.tensor([labels[s.identity] for s in known]),
        torch.tensor([s.view for s in known]),
        num_identities=len(labels),
    )
