"""A training run: train, extract features, evaluate, draw figures and write the metrics.

All datasets go through these steps. Their differences are in :mod:`reid_ext.training.setups`.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from reid_ext import data, distributed, models
from reid_ext.evaluation import Ranking
from reid_ext.features import FeatureSet
from reid_ext.training import results, scoring
from reid_ext.training.config_file import write_config
from reid_ext.training.extraction import embed
from reid_ext.training.job import Job, jobs, shown_views
from reid_ext.training.loop import Outcome, train
from reid_ext.training.loop_arguments import Execution, Records, Saving, Validation
from reid_ext.training.objective import build_objective
from reid_ext.training.options import RunOptions
from reid_ext.training.output_folder import check_earlier_run, make_folder, remove_earlier_run
from reid_ext.training.preprocessing import transforms
from reid_ext.training.resources import allocated
from reid_ext.viz import need_matplotlib


class Trained(NamedTuple):
    """The result of a job: the network, the outcome of the training and the test features."""

    job: Job
    model: models.TwoStream
    outcome: Outcome
    query: FeatureSet
    gallery: FeatureSet | None  # None if the protocol draws it from the queries


def run(options: RunOptions) -> dict[str, Any]:
    """Train and evaluate a network, draw the figures, and return the metrics.

    The function writes metrics.json with the returned metrics, config.toml with the options,
    checkpoint.pt, figures and, if TensorBoard is installed, its events to the output folder. It
    prints the results on stdout and the progress on stderr. ``options.seed`` seeds the random
    numbers of torch.

    Args:
        options: Dataset, loss, and all other options of the run.

    Returns:
        The content of metrics.json: the results of each evaluation as fractions, and all settings.

    Raises:
        ArgumentError: an option does not fit the dataset, such as a batch that is too large, or
            ``out`` holds an earlier run and neither ``resume`` nor ``overwrite`` is set.
        FileNotFoundError: the dataset or the checkpoint does not exist.
        ValueError: the dataset or the checkpoint is invalid.
        KeyboardInterrupt: Ctrl-C was pressed or SIGTERM arrived. The checkpoint is saved first, and
            ``resume`` continues from it.

    Examples:
        A run of a few seconds on a tiny synthetic dataset:

        >>> from reid_ext.training import RunOptions, run
        >>> metrics = run(RunOptions(dataset="market1501", quick=True))  # doctest: +SKIP
        >>> round(metrics["rank1"], 2), round(metrics["mAP"], 2)  # doctest: +SKIP
        (0.58, 0.46)

        A dataset without a synthetic version needs its folder:

        >>> try:
        ...     run(RunOptions(dataset="llcm", device="cpu"))
        ... except ValueError as error:
        ...     print(str(error).partition(", got")[0])
        run: data must be the folder of LLCM
    """
    start = time.perf_counter()
    rankings: dict[str, list[Ranking]] = {}
    outcomes = []
    with allocated(options) as options:
        for trained in trainings(options):
            outcomes.append(trained.outcome)
            ranked = scoring.rank(trained.job, trained.query, trained.gallery)
            for label, ranking in ranked.items():
                rankings.setdefault(label, []).append(ranking)
        job = trained.job
        means = {label: scoring.of_all_trials(job, trials) for label, trials in rankings.items()}
        scoring.draw(job, means, trained.query, trained.gallery)
        metrics = _metrics(job, means, _total(outcomes))
        metrics["seconds"] = time.perf_counter() - start
        metrics = json.loads(json.dumps(metrics, default=str))
        results.write_json(job.out / "metrics.json", metrics)
        print(results.table(means))
        print(f"{metrics['seconds']:.0f} s; metrics, checkpoint and figures in {job.out}")
    return metrics


def trainings(options: RunOptions) -> Iterator[Trained]:
    """Carry out the jobs of a run; each trial of a dataset with trials is one job.

    Args:
        options: From :func:`reid_ext.training.resources.allocated`.
    """
    if options.angles:
        need_matplotlib("angles")  # fail before the training
    check_earlier_run(options)
    for job in jobs(options):
        make_folder(job.out)
        model, outcome = fit(job)
        query, gallery = test_features(job, model)
        if options.angles:
            title = f"{job.dataset.name}, {options.loss}"
            results.draw_angles(query, gallery, job.out, title)
        yield Trained(job, model, outcome, query, gallery)


def fit(job: Job) -> tuple[models.TwoStream, Outcome]:
    """Train the network of a job, and return it with the outcome of the training."""
    options, recipe = job.options, job.recipe
    device, is_main = str(options.device), distributed.is_main()
    trace = job.folder / "trace.json" if options.profile and is_main else None
    facts = {
        "dataset": job.dataset.name,
        "seed": options.seed,
        "fraction": (options.fraction, options.fraction_of),
    }
    model, resumes = _network(job), job.resumes
    loader = data.loader(_images(job), job.batches, options.workers or 0, device=device)
    views = shown_views(job.dataset, job.labels)
    objective = build_objective(options.loss, recipe, model, views)
    if is_main and not resumes:  # now that nothing in the options is invalid
        if options.overwrite and job.is_first:
            remove_earlier_run(job.out)
        write_config(options, job.out / "config.toml")
    outcome = train(
        model,
        loader,
        objective,
        recipe,
        sampler=job.batches,
        execution=Execution(device, str(options.precision), options.compile),
        saving=Saving(job.folder / "checkpoint.pt", resumes, facts),
        records=Records(job.folder if is_main else None, options.wandb, trace),
        validation=_validation(job),
    )
    if is_main and resumes:  # now that the checkpoint fits the options
        write_config(options, job.out / "config.toml")
    return model, outcome


def test_features(job: Job, model: models.TwoStream) -> tuple[FeatureSet, FeatureSet | None]:
    """Return the features of queries and gallery, or None if the gallery is drawn from the queries.

    Each process extracts its share of the images, and then receives the features of all images.
    """
    options = job.options
    device, precision = str(options.device), str(options.precision)
    workers = options.workers or 0
    _, transform = transforms(job.recipe)

    def features(samples: Sequence[data.Sample]) -> FeatureSet:
        images = data.Images(_share(samples), transform, part=job.recipe.part)
        rows = embed(model, images, device=device, precision=precision, workers=workers)
        whole = distributed.gather_rows(rows.to(device)).cpu()
        return FeatureSet(whole, **data.columns(samples, job.dataset.name), source=source)

    source = {"model": job.recipe.backbone, "loss": options.loss, "dataset": job.dataset.name}
    one_set = scoring.protocol_of(job).one_set
    return features(job.dataset.query), None if one_set else features(job.dataset.gallery)


def _network(job: Job) -> models.TwoStream:
    recipe, weights = job.recipe, job.options.weights
    torch.manual_seed(job.options.seed)
    if weights is None:
        weights = "none" if recipe.backbone == "small" else "imagenet"
    weights = None if weights == "none" else weights
    backbone = models.build_backbone(recipe.backbone, weights, size=recipe.size)
    model = models.TwoStream(backbone, len(job.labels), neck=recipe.neck, stripes=recipe.stripes)
    if distributed.world_size() > 1:
        distributed.convert_norms(model)
    return model


def _images(job: Job) -> data.Images:
    """The training images; synthetic images are few enough to be kept in memory."""
    transform, _ = transforms(job.recipe)
    cache = job.options.cache or job.options.data is None
    return data.Images(
        job.dataset.train, transform, labels=job.labels, cache=cache, part=job.recipe.part
    )


def _validation(job: Job) -> Validation | None:
    """The evaluation during the training.

    The best network on test images is not kept, because test images must not select a network.
    """
    options = job.options
    if options.validate_every is None:
        return None

    def score(model: nn.Module) -> float:
        features = test_features(job, cast(models.TwoStream, model))
        return next(iter(scoring.rank(job, *features).values())).mAP

    keep = job.folder / "best.pt" if options.evaluate_on == "val" else None
    every = options.validate_every * len(job.batches)
    return Validation(every, score, f"mAP on {options.evaluate_on}", keep)


def _share(samples: Sequence[data.Sample]) -> Sequence[data.Sample]:
    """The contiguous share of the samples that this process extracts."""
    first, end = (
        len(samples) * part // distributed.world_size()
        for part in (distributed.rank(), distributed.rank() + 1)
    )
    return samples[first:end]


def _total(outcomes: list[Outcome]) -> Outcome:
    """The sum over the trials, with the losses of the last trial."""
    seconds = sum(outcome.seconds_of_call for outcome in outcomes)
    images = sum(o.images_per_second * o.seconds_of_call for o in outcomes)
    return outcomes[-1]._replace(
        iterations=sum(outcome.iterations for outcome in outcomes),
        seconds=sum(outcome.seconds for outcome in outcomes),
        images_per_second=images / max(seconds, 1e-9),
        seconds_of_call=seconds,
    )


def _metrics(job: Job, rankings: Mapping[str, Ranking], outcome: Outcome) -> dict[str, Any]:
    """The content of metrics.json, with the first ranking at the top level."""
    options, name = job.options, job.dataset.name
    return {
        "dataset": name if options.data else f"{name} (embedded)",
        "loss": options.loss,
        **results.metrics(next(iter(rankings.values()))),
        "training": outcome._asdict(),
        "results": {label: results.metrics(ranking) for label, ranking in rankings.items()},
        "settings": {**asdict(options), **asdict(job.recipe)},
    }
