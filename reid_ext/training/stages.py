"""The stages of a training script: the data and recipe, the training, the features, the files.

What differs from dataset to dataset, its evaluation and figures, is in the script.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from reid_ext import data, distributed, models
from reid_ext._runtime.writing import writes
from reid_ext.evaluation import Ranking
from reid_ext.losses import present_views
from reid_ext.training import experiment
from reid_ext.training import results as report
from reid_ext.training.extraction import extract
from reid_ext.training.loop import Outcome, Validation
from reid_ext.training.loop import train as train_model
from reid_ext.training.objective import build_objective, method
from reid_ext.training.preprocessing import transforms
from reid_ext.training.recipe import Recipe
from reid_ext.training.view_flag import read_views_flag
from reid_ext.viz.figures import need_matplotlib

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


Rank = Callable[[Tensor, Tensor, str], Mapping[str, Ranking]]  # query, gallery, metric


def train(
    args: argparse.Namespace, dataset: data.Dataset, recipe: Recipe, rank: Rank
) -> tuple[models.TwoStream, Outcome, Recipe]:
    """Return the trained model, how the training went, and the recipe that was followed.

    ``rank`` evaluates features; the mAP of its first ranking is what --validate-every shows.
    """
    if args.angles:
        need_matplotlib("--angles")  # before the work
    with writes("--out", args.out):
        args.out.mkdir(parents=True, exist_ok=True)
    args.resume = args.resume or _is_under_way(args.out / "checkpoint.pt")
    if args.views:
        dataset, missing = data.with_views(dataset, read_views_flag(args.views))
        known = len(dataset.train) - missing["train"]
        print(f"{args.views}: views of {known} of {len(dataset.train)} training images")
    if args.loss.startswith("va") and all(s.view is None for s in dataset.train):
        sys.stderr.write(
            f"warning: --loss {args.loss} must have view labels, got none for the training images, "
            "which count for their identity alone; give them with --views\n"
        )
    part = data.fraction(dataset.train, args.fraction, of=args.fraction_of, seed=args.seed)
    if len(part) < len(dataset.train):
        print(f"--fraction {args.fraction}: {len(part)} of {len(dataset.train)} training images")
        dataset = dataset._replace(train=part)
    labels = data.relabel(dataset.train)
    transform, _ = transforms(recipe)
    images = data.Images(
        dataset.train,
        transform,
        labels=labels,
        cache=args.cache or not args.data,
        part=recipe.part,
    )
    sampler = _sampler(dataset, recipe, args.seed, args.loss)
    recipe = replace(recipe, iterations=_iterations(args, recipe, len(sampler)))
    recipe = method(args.loss).network(recipe)
    torch.manual_seed(args.seed)
    weights = args.weights or (None if recipe.backbone == "small" else "imagenet")
    backbone = models.build_backbone(recipe.backbone, None if weights == "none" else weights)
    model = models.TwoStream(backbone, len(labels), neck=recipe.neck, stripes=recipe.stripes)
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
        settings={
            "dataset": dataset.name,
            "seed": args.seed,
            "fraction": (args.fraction, args.fraction_of),
        },
        log_folder=args.out if distributed.is_main() else None,
        wandb_project=args.wandb,
        validation=_validation(args, dataset, recipe, rank, len(sampler)),
        compiled=args.compile,
        trace=args.out / "trace.json" if args.profile and distributed.is_main() else None,
    )
    return model, outcome, recipe


def _iterations(args: argparse.Namespace, recipe: Recipe, epoch: int) -> int:
    """What is asked for by a number counts more than --quick."""
    if args.epochs:
        return args.epochs * epoch
    if args.quick and not experiment.sets_iterations(args):
        return QUICK_ITERATIONS
    return recipe.iterations


def _validation(
    args: argparse.Namespace, dataset: data.Dataset, recipe: Recipe, rank: Rank, epoch: int
) -> Validation | None:
    """--validate-every; the best on test data is not kept, for that would be to choose by them."""
    if args.validate_every is None:
        return None

    def score(model: nn.Module) -> float:
        query, gallery = _features(args, dataset, cast(models.TwoStream, model), recipe)
        return next(iter(rank(query, gallery, recipe.metric).values())).mAP

    keep = args.out / "best.pt" if args.evaluate_on == "val" else None
    return Validation(args.validate_every * epoch, score, f"mAP on {args.evaluate_on}", keep)


def embed(
    args: argparse.Namespace, dataset: data.Dataset, model: models.TwoStream, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """Return the features of the queries and of the gallery; with --angles draw their angles."""
    query, gallery = _features(args, dataset, model, recipe)
    if args.angles:
        report.draw_angles(dataset, query, gallery, args.out, f"{dataset.name}, {args.loss}")
    return query, gallery


def _features(
    args: argparse.Namespace, dataset: data.Dataset, model: models.TwoStream, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """Of several processes each embeds its share; all have the whole then."""
    _, transform = transforms(recipe)
    options = {"device": args.device, "precision": args.precision, "workers": args.workers}
    query, gallery = (
        _gathered(
            extract(model, data.Images(_share(samples), transform, part=recipe.part), **options),
            args.device,
        )
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
    dataset: data.Dataset, recipe: Recipe, seed: int, loss: str
) -> data.TwoModalityBatches | data.IdentityBatches | distributed.ShareOfBatches:
    people = len({s.identity for s in dataset.train})
    p, k = recipe.identities_per_batch, recipe.images_per_modality
    if p > people:
        raise ValueError(
            f"--batch must be of at most the {people} identities trained on, got {p}x{k}; take "
            f"--batch {people}x{k}"
        )
    if recipe.modalities * k < 2 and any(term.ramped for term in method(loss).terms):
        raise ValueError(
            f"--batch must be of at least two images of an identity for --loss {loss}, which "
            f"compares them, got {p}x{k}; take --batch {p}x4"
        )
    kind = data.TwoModalityBatches if recipe.modalities == 2 else data.IdentityBatches
    batches = kind(dataset.train, p, k, seed=seed)
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
