"""The setups of the datasets: recipe, reader and evaluation of each.

All differences between the datasets are in these setups.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from reid_ext import data
from reid_ext.training.recipe import (
    CUHK03,
    DUKEMTMC,
    EMBEDDED,
    EMBEDDED_VISIBLE,
    MARKET1501,
    MSMT17,
    REGDB,
    SYSU,
    VERI776,
    Recipe,
)


@dataclass(frozen=True)
class SplitOption:
    """An option of the reader of a dataset, such as the trial, and a flag of its script."""

    default: Any
    help: str
    choices: tuple[Any, ...] | None = None  # None: any string
    several: bool = False  # whether the value is a list of choices
    metavar: str | None = None
    unset: str | None = None  # what the default does, in words; None: the default itself


class Sized(NamedTuple):
    """A recipe, and the number of training images for which its length is meant."""

    recipe: Recipe
    images: int | None = None  # None: the length does not depend on the number of images


@dataclass(frozen=True)
class Setup:
    """Recipe, reader and evaluation of a dataset.

    Attributes:
        dataset: Name in ``data.load`` and, if the package can render the layout, in
            ``data.synthesize``.
        short_name: First part of the name of the default output folder.
        recipe: Returns the recipe for the samples of the real dataset.
        synthetic_recipe: Recipe for the synthetic dataset. Default: None, there is no synthetic
            dataset in this layout.
        protocol: Returns the name of the protocol for the samples.
        settings: Returns the settings of the protocol for the folder and the trial.
        data_is: Description of ``data`` for error messages and help.
        split: Options that are passed to ``read``.
        read: Reads the dataset from root, evaluate_on and the split options. Default: None,
            ``data.load`` reads it.
        trials: All trials, if each trial divides the identities anew and trains its own model.
            Default: (), the dataset has one fixed division.
        one_gallery: Whether all queries search one gallery, so that ``by_viewpoint`` is available.
    """

    dataset: str
    short_name: str
    recipe: Callable[[data.Dataset], Sized]
    synthetic_recipe: Recipe | None = None
    protocol: Callable[[data.Dataset], str] = lambda dataset: dataset.name
    settings: Callable[[Path, int | None], dict[str, Any]] = lambda root, trial: {}
    data_is: str = "the folder of the dataset"
    split: Mapping[str, SplitOption] = field(default_factory=dict)
    read: Callable[..., data.Dataset] | None = None
    trials: tuple[int, ...] = ()
    one_gallery: bool = False

    def load(self, root: Path, evaluate_on: str, **split: Any) -> data.Dataset:
        """Return the samples in ``root``."""
        if self.read is not None:
            return self.read(root, evaluate_on=evaluate_on, **split)
        return data.load(self.dataset, root, evaluate_on=evaluate_on, **split)


def _always(recipe: Recipe, images: int | None = None) -> Callable[[data.Dataset], Sized]:
    return lambda dataset: Sized(recipe, images)


def _one_gallery(
    dataset: str, short_name: str, recipe: Recipe, split: Mapping[str, SplitOption] | None = None
) -> Setup:
    return Setup(
        dataset,
        short_name,
        _always(recipe),
        EMBEDDED_VISIBLE,
        split=split or {},
        one_gallery=True,
    )


def _sysu_settings(root: Path, trial: int | None) -> dict[str, Any]:
    """The official draw of the galleries, if the dataset has the files of it."""
    return {"permutations": data.sysu.load_permutations(root)}


def _regdb_settings(root: Path, trial: int | None) -> dict[str, Any]:
    return {"trial": trial, "model_trial": trial}


def _read_vehicleid(root: Path, **split: Any) -> data.Dataset:
    """VehicleID with all test images as queries, from which the protocol draws the galleries."""
    return data.load("vehicleid", root, **split)._replace(gallery=[])


def _read_own_images(root: Path, evaluate_on: str, camera: str = "") -> data.Dataset:
    if root.is_file() or root.suffix.lower() in (".csv", ".json"):
        return data.load("manifest", root, evaluate_on=evaluate_on)
    return data.load("folders", root, evaluate_on=evaluate_on, camera=camera)


def _own_recipe(dataset: data.Dataset) -> Sized:
    if len({sample.modality for sample in dataset.train}) == 2:
        return Sized(SYSU, images=30_213)
    return Sized(MARKET1501, images=12_936)


def _own_protocol(dataset: data.Dataset) -> str:
    """The protocol with junk by camera if the images come from several cameras."""
    cameras = {sample.camera for sample in [*dataset.query, *dataset.gallery]}
    return "dukemtmc-reid" if len(cameras) > 1 else "generic"


_TRAIN_ON = SplitOption("train", "identities to train on", ("train", "trainval"))
_ALL = (
    Setup(
        "sysu-mm01",
        "sysu",
        _always(SYSU),
        EMBEDDED,
        settings=_sysu_settings,
    ),
    Setup(
        "regdb",
        "regdb",
        _always(REGDB),
        EMBEDDED,
        settings=_regdb_settings,
        split={
            "trials": SplitOption(
                None,
                "trials to train and average, from 1 to 10",
                data.regdb.TRIALS,
                several=True,
                metavar="N",
                unset="all trials of the real dataset, trial 1 of the synthetic one",
            )
        },
        trials=data.regdb.TRIALS,
    ),
    Setup(
        "llcm",
        "llcm",
        _always(replace(SYSU, name="llcm")),  # LLCM has the same two modalities
        data_is="the folder of LLCM",
    ),
    _one_gallery("market1501", "market1501", MARKET1501),
    _one_gallery("dukemtmc-reid", "dukemtmc", DUKEMTMC),
    _one_gallery(
        "cuhk03-np",
        "cuhk03",
        CUHK03,
        {"boxes": SplitOption("detected", "bounding boxes of the images", data.cuhk03.BOXES)},
    ),
    _one_gallery("msmt17", "msmt17", MSMT17, {"train_on": _TRAIN_ON}),
    _one_gallery("veri776", "veri776", VERI776),
    Setup(
        "vehicleid",
        "vehicleid",
        _always(replace(VERI776, name="vehicleid"), images=37_778),
        data_is="the folder of VehicleID",
        split={"size": SplitOption(800, "vehicles in the test list", data.vehicleid.SIZES)},
        read=_read_vehicleid,
    ),
    Setup(
        "folders",
        "folders",
        _own_recipe,
        protocol=_own_protocol,
        data_is="your folder, or your list that ends in .csv or .json",
        split={
            "camera": SplitOption(
                "",
                "regular expression whose group is the camera in a file name, for folders",
                metavar="REGEX",
                unset="no camera",
            )
        },
        read=_read_own_images,
    ),
)
SETUPS: dict[str, Setup] = {setup.dataset: setup for setup in _ALL}
