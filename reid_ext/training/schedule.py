"""What changes with the iteration: the learning rate and the weight of the metric losses.

Both are functions of the iteration alone, so a resumed run needs no more than its number.
"""

import math

from torch.optim import Optimizer

from reid_ext.training.recipe import Recipe

SCHEDULES = ("multi_step", "cosine")


def learning_rate_factor(recipe: Recipe, iteration: int) -> float:
    """Return the share of the base learning rate at ``iteration``, counted from 0.

    Linear from ``warmup_start`` to 1 over ``warmup`` iterations, times ``decay`` at every
    milestone passed ("multi_step") or a half cosine from 1 to ``decay`` over the run ("cosine").
    """
    if recipe.schedule == "multi_step":
        factor = recipe.decay ** sum(iteration >= m for m in recipe.milestones)
    elif recipe.schedule == "cosine":
        wave = 0.5 * (1 + math.cos(math.pi * iteration / recipe.iterations))
        factor = recipe.decay + (1 - recipe.decay) * wave
    else:
        raise ValueError(
            f"Recipe: schedule must be one of {', '.join(map(repr, SCHEDULES))}, got "
            f"{recipe.schedule!r}"
        )
    if iteration < recipe.warmup:
        factor *= recipe.warmup_start + (1 - recipe.warmup_start) * iteration / recipe.warmup
    return factor


def ramp(recipe: Recipe, iteration: int) -> float:
    """Return the share of a metric loss's weight: 0 up to the ramp, then linear to 1."""
    start, end = recipe.metric_ramp
    return 1.0 if iteration >= end else max(iteration - start, 0) / (end - start)


def set_learning_rates(optimizer: Optimizer, factor: float) -> None:
    """Set every group to ``factor`` times its own base learning rate, ``initial_lr``."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
