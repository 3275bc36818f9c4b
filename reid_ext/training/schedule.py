"""The schedule of a run: learning rate and weight of the metric losses at each iteration.

Both depend on the number of the iteration only, so a resumed run needs no further state.
"""

import math
from collections.abc import Container
from dataclasses import replace
from typing import Any

from torch.optim import Optimizer

from reid_ext.training.recipe import Recipe


def learning_rate_factor(recipe: Recipe, iteration: int) -> float:
    """Return the share of the base learning rate at ``iteration``, counted from 0.

    The share grows linearly from ``warmup_start`` to 1 over ``warmup`` iterations. It is multiplied
    by ``decay`` at every milestone ("multi_step"), or by a half cosine from 1 to ``decay`` over the
    run ("cosine").
    """
    if recipe.schedule == "multi_step":
        factor = recipe.decay ** sum(iteration >= m for m in recipe.milestones)
    else:
        wave = 0.5 * (1 + math.cos(math.pi * iteration / recipe.iterations))
        factor = recipe.decay + (1 - recipe.decay) * wave
    if iteration < recipe.warmup:
        factor *= recipe.warmup_start + (1 - recipe.warmup_start) * iteration / recipe.warmup
    return factor


def ramp(recipe: Recipe, iteration: int) -> float:
    """Return the share of the weight of a metric loss: 0 before the ramp, then linear to 1."""
    start, end = recipe.metric_ramp
    if iteration >= end:
        return 1.0
    return 0.0 if iteration <= start else (iteration - start) / (end - start)


def stretched(recipe: Recipe, factor: float, kept: Container[str] = ()) -> Recipe:
    """Return the recipe with ``factor`` times its iterations, and its schedule in proportion.

    Warm-up, milestones, the ramp of the metric losses and the distance between checkpoints scale
    with the length. Settings named in ``kept`` stay unchanged. A count of 0 stays 0, and any other
    count is at least 1.
    """

    def scaled(count: int) -> int:
        return max(1, round(count * factor)) if count else 0

    start, end = recipe.metric_ramp
    changes: dict[str, Any] = {
        "iterations": scaled(recipe.iterations),
        "warmup": scaled(recipe.warmup),
        "milestones": tuple(map(scaled, recipe.milestones)),
        "metric_ramp": (scaled(start), scaled(end)),
        "save_every": scaled(recipe.save_every),
    }
    return replace(recipe, **{key: v for key, v in changes.items() if key not in kept})


def summary(recipe: Recipe) -> str:
    """Return one line that describes the schedule."""
    parts = [f"{recipe.iterations} iterations", f"warm-up {recipe.warmup}"]
    if recipe.schedule == "cosine":
        parts.append(f"cosine decay of the learning rate to {recipe.decay:g} of its start")
    elif recipe.milestones:
        steps = ", ".join(map(str, recipe.milestones))
        parts.append(f"learning rate times {recipe.decay:g} at {steps}")
    if recipe.metric_ramp[1] > 0:
        start, end = recipe.metric_ramp
        parts.append(f"metric losses ramp up from {start} to {end}")
    return f"Schedule: {'; '.join([*parts, f'checkpoint every {recipe.save_every}'])}."


def set_learning_rates(optimizer: Optimizer, factor: float) -> None:
    """Set every group to ``factor`` times its own base learning rate, ``initial_lr``."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
