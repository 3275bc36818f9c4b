"""Finds settings that the user gives and that cannot take effect in the run."""

from collections.abc import Iterator
from typing import NamedTuple

from reid_ext.training.objective import OBJECTIVES, method
from reid_ext.training.options import RunOptions
from reid_ext.training.recipe import Recipe

_FITTING = "set iterations or epochs as well, or leave this setting out so that it scales"


class Idle(NamedTuple):
    """A setting that would have no effect, what it must be instead, and what to do."""

    name: str
    requirement: str
    advice: str = ""


def idle_settings(options: RunOptions, recipe: Recipe, epoch: int) -> list[Idle]:
    """Return the given settings that have no effect in a run with this recipe.

    Args:
        options: Options of the run.
        recipe: Recipe with all changes, in the length of the run.
        epoch: Number of iterations per epoch.
    """
    given = {"validate_every", *(f"settings.{name}" for name in options.settings)}
    idle = [*_for_the_loss(options, recipe), *_for_the_schedule(recipe)]
    has_length = options.epochs is not None or "iterations" in options.settings
    if has_length or not options.quick:  # otherwise a quick run only stops early
        idle += _for_the_length(recipe, options.validate_every, epoch)
    return [setting for setting in idle if setting.name in given]


def _for_the_loss(options: RunOptions, recipe: Recipe) -> Iterator[Idle]:
    unused = {name for other in OBJECTIVES.values() for name in other.settings}
    for name in sorted(unused - method(options.loss).settings):
        uses = ", ".join(key for key, other in OBJECTIVES.items() if name in other.settings)
        requirement = f"be left out for the loss {options.loss}, which does not use it"
        yield Idle(f"settings.{name}", requirement, f"the losses that use it: {uses}")
    for name in ("neck", "stripes"):
        value = getattr(recipe, name)
        if options.settings.get(name) != value:
            requirement = f"be {value!r} for the loss {options.loss}"
            yield Idle(f"settings.{name}", requirement, "leave it out, or choose another loss")


def _for_the_schedule(recipe: Recipe) -> Iterator[Idle]:
    cosine = recipe.schedule == "cosine"
    if cosine and recipe.milestones:
        yield Idle("settings.milestones", "be left out, because the schedule is cosine")
    if not cosine and not recipe.milestones:
        yield Idle("settings.decay", "be left out, because there are no milestones")
    if recipe.warmup == 0:
        yield Idle("settings.warmup_start", "be left out, because warmup is 0")


def _for_the_length(recipe: Recipe, validate_every: int | None, epoch: int) -> Iterator[Idle]:
    length = recipe.iterations
    ends = {
        "warmup": recipe.warmup,
        "milestones": max(recipe.milestones, default=0),
        "metric_ramp": recipe.metric_ramp[1],
        "save_every": recipe.save_every,
    }
    for name, end in ends.items():
        if end > length:
            requirement = f"end within the {length} iterations of the run"
            yield Idle(f"settings.{name}", requirement, _FITTING)
    if (validate_every or 0) * epoch > length:
        requirement = f"be at most {length // epoch}, the number of epochs"
        yield Idle("validate_every", requirement, "without it, only the end is evaluated")
