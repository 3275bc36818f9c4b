"""A job: one training with its samples, its recipe and its batches, made ready from the options.

Most runs are one job. A run of RegDB is one job per trial.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reid_ext import data, distributed
from reid_ext._runtime.arguments import ArgumentError
from reid_ext.losses import present_views
from reid_ext.training.objective import method
from reid_ext.training.options import RunOptions
from reid_ext.training.recipe import Recipe
from reid_ext.training.resources import cache_folder
from reid_ext.training.schedule import stretched, summary
from reid_ext.training.setups import Setup

SYNTHETIC_SEED = 1  # the people of the tables in the docs
QUICK_ITERATIONS = 30
QUICK_PART = 4  # of the height and width of real images

Batches = data.TwoModalityBatches | data.IdentityBatches | distributed.ShareOfBatches


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        options: Of the run, with no value left open.
        root: Folder of the dataset.
        dataset: The samples; ``train`` is what is trained on.
        recipe: What is followed, with all changes that the options make.
        batches: Draws the samples of each batch.
        folder: Where the checkpoint goes.
        trial: Of datasets that have trials.
    """

    options: RunOptions
    root: Path
    dataset: data.Dataset
    recipe: Recipe
    batches: Batches
    folder: Path
    trial: int | None = None

    @property
    def setup(self) -> Setup:
        return self.options.setup

    @property
    def out(self) -> Path:
        """The output folder of the whole run."""
        return Path(self.options.out or "")

    @property
    def labels(self) -> dict[int, int]:
        """The label of each training identity."""
        return data.relabel(self.dataset.train)

    @property
    def resumes(self) -> bool:
        """Whether to continue from the checkpoint.

        A later trial that was not begun has nothing to continue from. Processes that torchrun has
        restarted continue from the checkpoint they left.
        """
        checkpoint = self.folder / "checkpoint.pt"
        if is_under_way(checkpoint):
            return True
        begun = self.trial in (None, _trials(self.options)[0]) or checkpoint.exists()
        return self.options.resume and begun


def is_under_way(checkpoint: Path) -> bool:
    """Whether torchrun has restarted the processes of a run that left a checkpoint."""
    return distributed.restarted() and checkpoint.is_file()


def jobs(options: RunOptions) -> Iterator[Job]:
    """Make the jobs of a run ready, one after the other; no value of ``options`` is left open."""
    root = dataset_root(options)
    for trial in _trials(options):
        yield _job(options, root, trial)


def dataset_root(options: RunOptions) -> Path:
    """Return the folder of the dataset; the synthetic one is rendered if it is not there yet.

    Raises:
        ArgumentError: no data, and no synthetic dataset in the dataset's layout.
    """
    if options.data is not None:
        return Path(options.data)
    setup = options.setup
    if setup.synthetic_recipe is None:
        advice = f"there is no synthetic dataset in the layout of {setup.dataset}"
        raise ArgumentError("run", "data", f"be {setup.data_is}", "None", advice)
    root = synthetic_root(setup.dataset, options.quick)
    print(
        f"No --data given: using the built-in synthetic dataset in the layout of {setup.dataset} "
        f"(folder {root})."
    )
    with distributed.main_first():
        data.synthesize(setup.dataset, root, preset=_preset(options.quick), seed=SYNTHETIC_SEED)
    return root


def synthetic_root(dataset: str, quick: bool) -> Path:
    """Return the folder of the synthetic dataset in the layout of ``dataset``."""
    return cache_folder() / f"{dataset}-{_preset(quick)}"


def _preset(quick: bool) -> str:
    return "tiny" if quick else "default"


def _trials(options: RunOptions) -> list[Any]:
    """The trials to train; [None] for a dataset without trials."""
    trials = options.setup.trials
    if not trials:
        return [None]
    return list(options.split.get("trials") or (trials if options.data else trials[:1]))


def _job(options: RunOptions, root: Path, trial: int | None) -> Job:
    out = Path(options.out or "")
    split = {name: value for name, value in options.split.items() if name != "trials"}
    if trial is not None:
        split["trial"] = trial
    dataset = options.setup.load(root, options.evaluate_on, **split)
    recipe, factor = _recipe(options, dataset)
    dataset = _of_options(options, dataset)
    batches = _batches(options, dataset, recipe)
    recipe = _of_length(options, recipe, factor, len(batches))
    print(summary(recipe))
    folder = out if trial is None else out / f"trial-{trial}"
    return Job(options, root, dataset, recipe, batches, folder, trial)


def _recipe(options: RunOptions, dataset: data.Dataset) -> tuple[Recipe, float]:
    """The recipe with the changes of the options, and the factor of its length for the dataset."""
    setup = options.setup
    if options.data is None and setup.synthetic_recipe is not None:
        recipe, images = setup.synthetic_recipe, None
    else:
        recipe, images = setup.recipe(dataset)
        if options.quick and setup.synthetic_recipe is None:
            recipe = _with_small_images(recipe)
    changes: dict[str, Any] = {}
    if options.backbone is not None:
        changes["backbone"] = options.backbone
    if options.batch is not None:
        changes["identities_per_batch"], changes["images_per_modality"] = options.batch
    changes |= {key: v for key, v in options.settings.items() if key != "iterations"}
    factor = 1.0 if images is None else len(dataset.train) / images
    return method(options.loss).network(replace(recipe, **changes)), factor


def _with_small_images(recipe: Recipe) -> Recipe:
    (height, width), (down, across) = recipe.size, recipe.pad
    return replace(
        recipe,
        size=(height // QUICK_PART, width // QUICK_PART),
        pad=(down // QUICK_PART, across // QUICK_PART),
    )


def _of_length(options: RunOptions, recipe: Recipe, factor: float, epoch: int) -> Recipe:
    """The recipe with its settings and its length; ``epoch`` is a number of iterations.

    A length that is asked for brings the schedule with it; that of ``quick`` only stops early.
    """
    length = options.settings.get("iterations")
    if options.epochs is not None:
        length = options.epochs * epoch
    if length is not None:
        factor = length / recipe.iterations
    elif options.quick:
        length = QUICK_ITERATIONS
    recipe = stretched(recipe, factor, kept=options.settings)
    return recipe if length is None else replace(recipe, iterations=length)


def _of_options(options: RunOptions, dataset: data.Dataset) -> data.Dataset:
    """The dataset with the view labels, and the share of the training set, that were asked for."""
    if options.views is not None:
        path = Path(options.views)
        if not path.exists():
            raise ArgumentError("run", "views", "be a file", f"{path}, which does not exist")
        try:
            labels = data.read_view_labels(path)
        except ArgumentError as error:
            raise error.named("views") from None
        dataset, missing = data.with_views(dataset, labels)
        known = len(dataset.train) - missing["train"]
        print(f"{path}: views of {known} of {len(dataset.train)} training images")
    if options.loss.startswith("va") and all(s.view is None for s in dataset.train):
        sys.stderr.write(
            f"warning: the loss {options.loss} needs view labels, and no training image has one, "
            "so only identities count; give view labels with --views FILE\n"
        )
    train = data.fraction(
        dataset.train, options.fraction, of=options.fraction_of, seed=options.seed
    )
    if len(train) < len(dataset.train):
        count = f"{len(train)} of {len(dataset.train)} training images"
        print(f"Fraction {options.fraction}: {count}")
    return dataset._replace(train=train)


def _batches(options: RunOptions, dataset: data.Dataset, recipe: Recipe) -> Batches:
    p, k = recipe.identities_per_batch, recipe.images_per_modality
    identities = len({s.identity for s in dataset.train})
    if p > identities:
        requirement = f"have at most {identities} identities, those of the training set"
        raise ArgumentError("run", "batch", requirement, f"{p}x{k}", f"use {identities}x{k}")
    if recipe.modalities * k < 2 and any(term.ramped for term in method(options.loss).terms):
        requirement = f"have at least two images of an identity for the loss {options.loss}"
        raise ArgumentError("run", "batch", requirement, f"{p}x{k}", f"use {p}x4")
    kind = data.TwoModalityBatches if recipe.modalities == 2 else data.IdentityBatches
    batches = kind(dataset.train, p, k, seed=options.seed)
    return distributed.ShareOfBatches(batches) if distributed.world_size() > 1 else batches


def shown_views(dataset: data.Dataset, labels: Mapping[int, int]) -> Tensor | None:
    """Return the views that each training identity has; None if no view is known."""
    known = [s for s in dataset.train if s.view is not None]
    if not known:
        return None
    return present_views(
        torch.tensor([labels[s.identity] for s in known]),
        torch.tensor([s.view for s in known]),
        num_identities=len(labels),
    )
