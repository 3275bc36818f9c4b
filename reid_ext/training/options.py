"""``RunOptions``: all options of a training run with their meaning and defaults.

The command line, the configuration file and the documentation use these definitions.
"""

# ruff: noqa: RUF009  (the functions called in the defaults return dataclasses.field)

from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from reid_ext._runtime.arguments import ArgumentError, choice, described
from reid_ext.data import PARTS
from reid_ext.training import option_values as values
from reid_ext.training.objective import OBJECTIVES
from reid_ext.training.overrides import checked_settings
from reid_ext.training.precision import PRECISIONS
from reid_ext.training.setups import SETUPS, Setup, SplitOption

_SET_TWICE = (  # options and settings that mean the same
    ("epochs", "iterations"),
    ("batch", "identities_per_batch"),
    ("batch", "images_per_modality"),
    ("backbone", "backbone"),
)
GROUPS = ("data", "model", "loss", "training", "evaluation", "output")


def _option(
    group: str,
    default: Any,
    check: values.Check,
    help: str,
    *,
    unset: str | None = None,
    **more: Any,
) -> Any:
    """Return a field of ``RunOptions``.

    ``unset`` says in words what the default does if it is None or empty. ``more`` holds the
    ``choices`` or the ``metavar`` of the flag.
    """
    metadata = {"group": group, "check": check, "help": help, "unset": unset, **more}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def _choice(group: str, default: Any, choices: Any, help: str, **more: Any) -> Any:
    return _option(group, default, values.one_of(choices), help, choices=tuple(choices), **more)


def _switch(group: str, help: str) -> Any:
    return _option(group, False, values.boolean, help)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """All options of a training run, which :func:`run` carries out.

    The constructor checks every value. Only ``dataset`` is required.
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
        "folder of the real dataset",
        unset="a built-in synthetic dataset in its layout",
        metavar="ROOT",
    )
    split: dict[str, Any] = _option(
        "data",
        dict,
        values.tables,
        "options of one dataset, such as the trials of RegDB",
        unset="none",
    )
    views: str | Path | None = _option(
        "data",
        None,
        values.path,
        "file with viewpoint labels of the images, for the losses va and va_local",
        unset="the labels of the dataset, if it has any",
        metavar="FILE",
    )
    fraction: float = _option(
        "data", 1.0, values.share, "share of the training set to train on", metavar="F"
    )
    fraction_of: str = _choice(
        "data",
        "identities",
        PARTS,
        "what the share counts: the identities, or the images of each identity",
    )
    cache: str | Path | None = _option(
        "data",
        None,
        values.path,
        "folder in which decoded images are kept",
        unset="synthetic images are kept in memory, real images are decoded each time",
        metavar="FOLDER",
    )
    quick: bool = _switch(
        "data",
        "try the script in a few iterations, on a tiny synthetic dataset or, if there is none, on "
        "smaller images",
    )
    backbone: str | None = _option(
        "model",
        None,
        values.text,
        "'small' or the name of a timm model",
        unset="that of the recipe",
        metavar="NAME",
    )
    weights: str | None = _option(
        "model",
        None,
        values.text,
        "initial weights: 'imagenet', 'none' or a file",
        unset="imagenet for timm models, none for small",
    )
    loss: str = _choice(
        "loss", "expat", OBJECTIVES, "method, the sum of losses to minimise", metavar="NAME"
    )
    settings: dict[str, Any] = _option(
        "training",
        dict,
        values.tables,
        "settings of the recipe to change, all of which metrics.json lists",
        unset="none",
        metavar="KEY=VALUE",
    )
    epochs: int | None = _option(
        "training",
        None,
        values.whole(1),
        "passes over the training identities, with the schedule in proportion",
        unset="the iterations of the recipe",
        metavar="N",
    )
    batch: tuple[int, int] | None = _option(
        "training",
        None,
        values.batch,
        "identities per batch and images of each modality per identity",
        unset="those of the recipe",
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
        "device to train on: cpu, cuda or cuda:N",
        unset="cuda if torch finds a GPU, else cpu",
    )
    precision: str | None = _choice(
        "training",
        None,
        PRECISIONS,
        "precision of the products in the network, with parameters and losses in float32",
        unset="the fastest of the device",
    )
    workers: int | None = _option(
        "training",
        None,
        values.whole(0),
        "processes that read images",
        unset="chosen by the number of cores",
        metavar="N",
    )
    compile: bool = _switch(
        "training",
        "compile the network with torch.compile, which takes minutes and pays off in long runs",
    )
    evaluate_on: str = _choice(
        "evaluation",
        "test",
        ("test", "val"),
        "test images, or training identities that are held out to choose settings",
    )
    validate_every: int | None = _option(
        "evaluation",
        None,
        values.whole(1),
        "also evaluate every N epochs, and keep the network that is best on val as OUT/best.pt",
        unset="never",
        metavar="N",
    )
    rerank: bool = _switch("evaluation", "also evaluate and draw after k-reciprocal re-ranking")
    by_viewpoint: bool = _switch(
        "evaluation", "also evaluate within each viewpoint and from one viewpoint to the others"
    )
    angles: bool = _switch(
        "evaluation",
        "also draw histograms of the angles between features as OUT/angles.png, which needs "
        "matplotlib",
    )
    out: str | Path | None = _option(
        "output",
        None,
        values.path,
        "output folder",
        unset="runs/DATASET-LOSS-SEED",
        metavar="OUT",
    )
    resume: bool = _switch(
        "output",
        "continue from OUT/checkpoint.pt, on a CPU with the same bits as an uninterrupted run",
    )
    overwrite: bool = _switch(
        "output",
        "replace the earlier run in OUT, which is an error without this switch or resume",
    )
    profile: bool = _switch(
        "output",
        "write a trace of ten iterations to OUT/trace.json and print the slowest operators",
    )
    wandb: str | None = _option(
        "output",
        None,
        values.text,
        "project of Weights & Biases to log to, besides TensorBoard if that is installed",
        unset="none",
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
        for name, key in _SET_TWICE:
            if getattr(self, name) is not None and key in self.settings:
                given = f"{getattr(self, name)} and {key}={self.settings[key]}"
                requirement = f"be left out if settings has {key}"
                raise ArgumentError(values.WHERE, name, requirement, given, "set only one")
        several = f"{self.dataset}, whose queries are evaluated on several galleries"
        for name, excluded, reason in (
            ("overwrite", self.resume, "if resume is True"),
            ("by_viewpoint", not self.setup.one_gallery, f"for {several}"),
        ):
            if excluded and getattr(self, name):
                raise ArgumentError(values.WHERE, name, f"be False {reason}", "True")

    @property
    def setup(self) -> Setup:
        """The recipe, reader and protocol of the dataset."""
        return SETUPS[self.dataset]


def default_of(name: str) -> str | None:
    """Return the default of the option ``name`` in words, or None if the option is required."""
    item = next(item for item in fields(RunOptions) if item.name == name)
    if item.metadata.get("unset") is not None:
        return item.metadata["unset"]
    if item.default is MISSING:
        return None
    return "off" if item.default is False else str(item.default)


def _checked_split(setup: Setup, split: dict[str, Any]) -> dict[str, Any]:
    """Return the given options of the reader.

    Raises:
        ArgumentError: The reader does not have the option, or its value is invalid.
    """
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
    """The options with their meaning and defaults, for ``help(RunOptions)``."""
    lines = []
    for item in fields(RunOptions):
        text = item.metadata["help"]
        shown = "Required." if item.name == "dataset" else _default_in_python(item)
        lines.append(f"        {item.name}: {text[0].upper()}{text[1:]}. {shown}")
    return "\n\n    Attributes:\n" + "\n".join(lines) + f"\n{_RAISES_AND_EXAMPLES}"


def _default_in_python(item: Field) -> str:
    unset = item.metadata["unset"]
    if unset in (None, "none"):
        value = item.default_factory() if callable(item.default_factory) else item.default
        return f"Default: {value!r}."
    return f"Default: None, {unset}."


_RAISES_AND_EXAMPLES = """
    Raises:
        ArgumentError: a value is invalid, or two options exclude each other.

    Examples:
        >>> from reid_ext.training import RunOptions
        >>> options = RunOptions(dataset="market1501", loss="fidi", settings={"size": [128, 64]})
        >>> options.settings, options.seed
        ({'size': (128, 64)}, 0)
        >>> try:
        ...     RunOptions(dataset="market1501", seed=-1)
        ... except ValueError as error:
        ...     print(error)
        RunOptions: seed must be an integer >= 0, got -1
    """
RunOptions.__doc__ = f"{(RunOptions.__doc__ or '').rstrip()}{_described_options()}"
