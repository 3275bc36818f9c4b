"""What scripts need whose dataset no embedded one stands in for: a folder, a recipe of its size."""

import argparse
from dataclasses import replace
from pathlib import Path

from reid_ext.training import experiment
from reid_ext.training.overrides import overridden
from reid_ext.training.recipe import Recipe

QUICK_PART = 4  # of the recipe's height and width


def prepare(args: argparse.Namespace, what: str, recipe: Recipe) -> tuple[Path, Recipe]:
    """Return ``--data`` and the recipe with what the flags change.

    Raises:
        ValueError: there is no ``--data``.
    """
    if args.data is None:
        raise ValueError(
            f"--data must be {what}, got none; only the datasets that `reid-ext data synthesize` "
            "knows are rendered where there is no copy"
        )
    return args.data, adapted(recipe, args)


def adapted(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    """The recipe with what the flags change; ``--quick``, to try a script out, shrinks images."""
    recipe = experiment.adapted(recipe, args)
    if not args.quick:
        return recipe
    (height, width), (down, across) = recipe.size, recipe.pad
    return replace(
        recipe,
        size=(height // QUICK_PART, width // QUICK_PART),
        pad=(down // QUICK_PART, across // QUICK_PART),
    )


def stretched(recipe: Recipe, images: int, of_recipe: int, args: argparse.Namespace) -> Recipe:
    """The recipe over as many passes through ``images`` training images as through its own.

    What ``--set`` says stays as it is.
    """
    share = images / of_recipe

    def scaled(iterations: int) -> int:
        return max(1, round(iterations * share))

    recipe = replace(
        recipe,
        iterations=scaled(recipe.iterations),
        warmup=scaled(recipe.warmup),
        milestones=tuple(map(scaled, recipe.milestones)),
        save_every=scaled(recipe.save_every),
    )
    return overridden(recipe, args.set)
