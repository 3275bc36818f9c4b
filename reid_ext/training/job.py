"""A job: one training with its samples, recipe and batches, prepared from the options.

Most runs consist of one job. A run on RegDB has one job per trial.
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
from reid_ext.training.effect import idle_settings
from reid_ext.training.objective import method
from reid_ext.training.options import RunOptions
from reid_ext.training.recipe import Recipe
from reid_ext.training.resources import cache_folder
from reid_ext.training.schedule import stretched, summary
from reid_ext.training.setups import Setup

QUICK_ITERATIONS = 30
QUICK_PART = 4  # --quick divides the height and width of real images by this

Batches = data.TwoModalityBatches | data.IdentityBatches | distributed.ShareOfBatches


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        options: Options of the run, all of them resolved.
        root: Folder of the dataset.
        dataset: Samples to train and evaluate on.
        recipe: Recipe with all changes that the options make.
        batches: Sampler that draws the samples of each batch.
        folder: Folder of the checkpoint.
        trial: Trial of the dataset. Default: None, the dataset has no trials.
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

        A later trial without a checkpoint starts from the beginning. Processes that torchrun has
        restarted continue from their last checkpoint.
        """
        checkpoint = self.folder / "checkpoint.pt"
        if is_under_way(checkpoint):
            return True
        return self.options.resume and (self.is_first or checkpoint.exists())

    @property
    def is_first(self) -> bool:
        """Whether this is the first job of the run."""
        return self.trial in (None, _trials(self.options)[0])


def is_under_way(checkpoint: Path) -> bool:
    """Whether torchrun has restarted the processes of a run that left a checkpoint."""
    return distributed.restarted() and checkpoint.is_file()


def jobs(options: RunOptions) -> Iterator[Job]:
    """Prepare the jobs of a run, one after the other, from options that are all resolved."""
    root = dataset_root(options)
    for trial in _trials(options):
        yield _job(options, root, trial)


def dataset_root(options: RunOptions) -> Path:
    """Return the folder of the dataset, after rendering the synthetic one if it is missing.

    Raises:
        ArgumentError: ``data`` is None and the dataset has no synthetic version.
    """
    if options.data is not None:
        return Path(options.data)
    setup = options.setup
    if setup.synthetic_recipe is None:
        advice = f"the package has no synthetic dataset in the layout of {setup.dataset}"
        raise ArgumentError("run", "data", f"be {setup.data_is}", "None", advice)
    root = synthetic_root(setup.dataset, options.quick)
    print(
        f"No --data given: using the built-in synthetic dataset in the layout of {setup.dataset} "
        f"(folder {root})."
    )
    with distributed.main_first():
        data.synthesize(
            setup.dataset, root, preset=_preset(options.quick), seed=data.SYNTHETIC_SEED
        )
    return root


def synthetic_root(dataset: str, quick: bool) -> Path:
    """Return the folder of the synthetic dataset in the layout of ``dataset``."""
    return cache_folder() / f"{dataset}-{_preset(quick)}"


def _preset(quick: bool) -> str:
    return "tiny" if quick else "default"


def _trials(options: RunOptions) -> list[Any]:
    """The trials to train, or [None] for a dataset without trials."""
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
    if options.data is not None:
        print(data.files(dataset, root, **split))
    recipe, factor = _recipe(options, dataset)
    dataset = _of_options(options, dataset)
    batches = _batches(options, dataset, recipe)
    recipe = _of_length(options, recipe, factor, len(batches))
    for name, requirement, advice in idle_settings(options, recipe, len(batches)):
        value = options.settings.get(name.removeprefix("settings."), options.validate_every)
        raise ArgumentError("run", name, requirement, repr(value), advice)
    print(summary(recipe))
    folder = out if trial is None else out / f"trial-{trial}"
    return Job(options, root, dataset, recipe, batches, folder, trial)


def _recipe(options: RunOptions, dataset: data.Dataset) -> tuple[Recipe, float]:
    """The recipe with the changes of the options, and the factor by which to scale its length."""
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
    """The recipe with the requested length; ``epoch`` is the number of iterations per epoch.

    The schedule scales with a length that the user sets. With ``quick`` the run only stops early.
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
    """The dataset with the requested view labels and share of the training set."""
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
            "so the loss uses identities only; give view labels with --views FILE\n"
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
        requirement = f"have at most {identities} identities, as many as the training set"
        raise ArgumentError("run", "batch", requirement, f"{p}x{k}", f"use {identities}x{k}")
    if recipe.modalities * k < 2 and any(term.ramped for term in method(options.loss).terms):
        requirement = f"have at least two images of an identity for the loss {options.loss}"
        raise ArgumentError("run", "batch", requirement, f"{p}x{k}", f"use {p}x4")
    kind = data.TwoModalityBatches if recipe.modalities == 2 else data.IdentityBatches
    batches = kind(dataset.train, p, k, seed=options.seed)
    return distributed.ShareOfBatches(batches) if distributed.world_size() > 1 else batches


def shown_views(dataset: data.Dataset, labels: Mapping[int, int]) -> Tensor | None:
    """Return the views of each training identity, or None if no view is known."""
    known = [s for s in dataset.train if s.view is not None]
    if not known:
        return None
    return present_views(
        torch.tensor([labels[s.identity] for s in known]),
        torch.tensor([s.view for s in known]),
        num_identities=len(labels),
    )
