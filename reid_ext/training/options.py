"""All options of a training run, with their defaults and their meaning, in one place.

The command line, the configuration file and the documentation read them from ``RunOptions``.
"""

# ruff: noqa: RUF009  (the functions called in the defaults return dataclasses.field)

from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from reid_ext._runtime.arguments import ArgumentError, choice, described
from reid_ext.data import PARTS
from reid_ext.training import option_values as values
from reid_ext.training.objective import OBJECTIVES
from reid_ext.training.overrides import checked_settings
from reid_ext.training.precision import PRECISIONS
from reid_ext.training.setups import SETUPS, Setup, SplitOption

GROUPS = ("data", "model", "loss", "training", "evaluation", "output")


def _option(group: str, default: Any, check: values.Check, help: str, **more: Any) -> Any:
    """A field; ``more`` holds its ``choices`` or its ``metavar`` on the command line."""
    metadata = {"group": group, "check": check, "help": help, **more}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def _choice(group: str, default: Any, choices: Any, help: str) -> Any:
    return _option(group, default, values.one_of(choices), help, choices=tuple(choices))


def _switch(group: str, help: str) -> Any:
    return _option(group, False, values.boolean, help)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Everything that a training run depends on; :func:`run` carries it out.

    Invalid values raise ``ArgumentError``, which names the option.
    """

    dataset: str = field(
        metadata={
            "group": "data",
            "check": values.one_of(SETUPS),
            "help": f"dataset to train on: {', '.join(SETUPS)}",
        }
    )
    data: str | Path | None = _option(
        "data",
        None,
        values.path,
        "folder of the real dataset; default: a built-in synthetic dataset in its layout",
        metavar="ROOT",
    )
    split: dict[str, Any] = _option(
        "data", dict, values.tables, "options of one dataset, such as the trials of RegDB"
    )
    views: str | Path | None = _option(
        "data",
        None,
        values.path,
        "file with viewpoint labels of the images, for the loss va",
        metavar="FILE",
    )
    fraction: float = _option(
        "data", 1.0, values.share, "share of the training set to train on", metavar="F"
    )
    fraction_of: str = _choice(
        "data", "identities", PARTS, "part taken by the fraction: identities, or images of each"
    )
    cache: str | Path | None = _option(
        "data",
        None,
        values.path,
        "folder in which decoded images are kept; default: synthetic images are kept in memory, "
        "others are decoded again",
        metavar="FOLDER",
    )
    quick: bool = _switch(
        "data",
        "try the script out: a tiny synthetic dataset, or small images where there is none; a few "
        "iterations",
    )
    backbone: str | None = _option(
        "model",
        None,
        values.text,
        "'small' or the name of a timm model; default: that of the recipe",
        metavar="NAME",
    )
    weights: str | None = _option(
        "model",
        None,
        values.text,
        "initial weights: 'imagenet', 'none' or a file; default: imagenet for timm models",
    )
    loss: str = _choice("loss", "expat", OBJECTIVES, "method, the sum of losses that is minimised")
    settings: dict[str, Any] = _option(
        "training",
        dict,
        values.tables,
        "settings of the recipe to change; metrics.json lists all of them",
        metavar="KEY=VALUE",
    )
    epochs: int | None = _option(
        "training",
        None,
        values.whole(1),
        "length as passes over the training identities, with the schedule in proportion; default: "
        "the iterations of the recipe",
        metavar="N",
    )
    batch: tuple[int, int] | None = _option(
        "training",
        None,
        values.batch,
        "identities per batch and images of each modality per identity; default: the recipe's",
        metavar="PxK",
    )
    seed: int = _option(
        "training",
        0,
        values.whole(0),
        "seed of the initial weights and of the batches",
        metavar="N",
    )
    device: str | None = _option(
        "training",
        None,
        values.device,
        "device to train on: cpu, cuda or cuda:N; default: cuda if torch finds a GPU, else cpu",
    )
    precision: str | None = _choice(
        "training",
        None,
        PRECISIONS,
        "of the products in the network; parameters and losses stay float32; default: the fastest "
        "of the device",
    )
    workers: int | None = _option(
        "training",
        None,
        values.whole(0),
        "processes that read images; default: by the number of cores",
        metavar="N",
    )
    compile: bool = _switch(
        "training",
        "compile the network with torch.compile, which takes minutes and pays in long runs",
    )
    evaluate_on: str = _choice(
        "evaluation",
        "test",
        ("test", "val"),
        "test images, or training identities that are held out to choose settings by",
    )
    validate_every: int | None = _option(
        "evaluation",
        None,
        values.whole(1),
        "also evaluate every N epochs; with validation images (val) the best network is kept as "
        "OUT/best.pt",
        metavar="N",
    )
    rerank: bool = _switch("evaluation", "also evaluate and draw after k-reciprocal re-ranking")
    by_viewpoint: bool = _switch(
        "evaluation", "also evaluate within each viewpoint and from one viewpoint to the others"
    )
    angles: bool = _switch(
        "evaluation",
        "also draw histograms of the angles between features, OUT/angles.png; needs matplotlib",
    )
    out: str | Path | None = _option(
        "output",
        None,
        values.path,
        "output folder; default: runs/DATASET-LOSS-SEED",
        metavar="OUT",
    )
    resume: bool = _switch(
        "output",
        "continue from OUT/checkpoint.pt; on a CPU with the same bits as a run that was never "
        "stopped",
    )
    profile: bool = _switch(
        "output", "write a trace of ten iterations to OUT/trace.json and print where the time went"
    )
    wandb: str | None = _option(
        "output",
        None,
        values.text,
        "project of Weights & Biases to log to; TensorBoard is written where it is installed",
        metavar="PROJECT",
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None or item.default is not None:
                checked = item.metadata["check"](item.name, value)
                object.__setattr__(self, item.name, checked)
        object.__setattr__(self, "settings", checked_settings(self.settings))
        object.__setattr__(self, "split", _checked_split(self.setup, self.split))
        if self.epochs is not None and "iterations" in self.settings:
            given = f"{self.epochs} and iterations={self.settings['iterations']}"
            requirement = "be left out where settings has iterations"
            raise ArgumentError(values.WHERE, "epochs", requirement, given, "give only one")
        if self.by_viewpoint and not self.setup.one_gallery:
            requirement = f"be False for {self.dataset}, whose queries do not search one gallery"
            raise ArgumentError(values.WHERE, "by_viewpoint", requirement, "True")

    @property
    def setup(self) -> Setup:
        """What the dataset says about its training."""
        return SETUPS[self.dataset]


def default_of(name: str) -> Any:
    """The default of the option ``name``; MISSING if it is required."""
    item = next(item for item in fields(RunOptions) if item.name == name)
    if item.default_factory is not MISSING:
        return item.default_factory()
    return item.default


def _checked_split(setup: Setup, split: dict[str, Any]) -> dict[str, Any]:
    """The given options of the reader; ArgumentError for one that it lacks, or a wrong value."""
    for name, value in split.items():
        if name not in setup.split:
            known = ", ".join(setup.split) or "none"
            advice = f"{setup.dataset} has these options: {known}"
            raise ArgumentError(
                values.WHERE, "split", "name options of the dataset's reader", repr(name), advice
            )
        _check_split_value(f"split.{name}", setup.split[name], value)
    return dict(split)


def _check_split_value(name: str, option: SplitOption, value: Any) -> None:
    if option.several and (not isinstance(value, list | tuple) or not value):
        raise ArgumentError(values.WHERE, name, "be a non-empty list", described(value))
    for single in value if option.several else [value]:
        if option.choices is not None:
            choice(values.WHERE, name, single, option.choices)
        elif not isinstance(single, str):
            raise ArgumentError(values.WHERE, name, "be a string", described(single))


def _described_options() -> str:
    """The options and their meaning, for ``help(RunOptions)``."""
    lines = [
        f"        {f.name}: {f.metadata['help'][0].upper()}{f.metadata['help'][1:]}."
        for f in fields(RunOptions)
    ]
    return "\n    Attributes:\n" + "\n".join(lines) + "\n    "


RunOptions.__doc__ = f"{RunOptions.__doc__}{_described_options()}"
