"""What a training run takes from its dataset: recipe, ways to read it, and how it is evaluated.

Everything that differs from dataset to dataset is in the ``Setup`` of that dataset.
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
class Evaluation:
    """One evaluation of the test images: the protocol and its arguments."""

    protocol: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    swapped: bool = False  # the gallery images are the queries, and the queries the gallery


@dataclass(frozen=True)
class SplitOption:
    """An option of a dataset's reader, such as the trial; a flag of its training script."""

    default: Any
    help: str
    choices: tuple[Any, ...] | None = None  # None: any string
    several: bool = False  # whether the value is a list of choices
    metavar: str | None = None


class Sized(NamedTuple):
    """A recipe, and the number of training images that its length is meant for."""

    recipe: Recipe
    images: int | None = None  # None: the length is the same for every number of images


@dataclass(frozen=True)
class Setup:
    """A dataset as a training run sees it.

    Attributes:
        dataset: Name in ``data.load``, and in ``data.synthesize`` where there is a layout.
        short_name: First part of the name of the default output folder.
        recipe: Chooses the recipe for the real dataset, by the samples that were read.
        evaluations: Lists the evaluations by their labels; the first gives the headline.
        synthetic_recipe: For the built-in synthetic dataset; None if none has this layout.
        data_is: What ``data`` must be.
        split: Options that are passed to ``read``.
        read: Reads the dataset: root, evaluate_on and the split options.
        trials: All trials, if each divides the identities anew and trains a model of its own.
        one_gallery: Whether all queries search one gallery, so ``rerank`` and ``by_viewpoint`` are
            available.
    """

    dataset: str
    short_name: str
    recipe: Callable[[data.Dataset], Sized]
    evaluations: Callable[[data.Dataset], dict[str, Evaluation]]
    synthetic_recipe: Recipe | None = None
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


def _by_name(dataset: data.Dataset) -> dict[str, Evaluation]:
    """The protocol that has the dataset's name."""
    return {dataset.name: Evaluation(dataset.name)}


def _one_gallery(
    dataset: str, short_name: str, recipe: Recipe, split: Mapping[str, SplitOption] | None = None
) -> Setup:
    return Setup(
        dataset,
        short_name,
        _always(recipe),
        _by_name,
        EMBEDDED_VISIBLE,
        split=split or {},
        one_gallery=True,
    )


def _sysu_settings(dataset: data.Dataset) -> dict[str, Evaluation]:
    return {
        f"{mode}, {shots}-shot": Evaluation("sysu-mm01", {"mode": mode, "shots": shots})
        for mode in ("all", "indoor")
        for shots in (1, 10)
    }


def _regdb_directions(dataset: data.Dataset) -> dict[str, Evaluation]:
    return {
        direction.replace("_", " "): Evaluation("regdb", {"direction": direction}, swapped)
        for direction, swapped in (("visible_to_thermal", False), ("thermal_to_visible", True))
    }


def _llcm_directions(dataset: data.Dataset) -> dict[str, Evaluation]:
    return {
        "infrared to visible": Evaluation("llcm"),
        "visible to infrared": Evaluation("llcm", swapped=True),
    }


def _read_vehicleid(root: Path, **split: Any) -> data.Dataset:
    """Its galleries are drawn from the test images, all of which are listed as queries."""
    return data.load("vehicleid", root, **split)._replace(gallery=[])


def _read_own_images(root: Path, evaluate_on: str, camera: str = "") -> data.Dataset:
    if root.suffix.lower() in (".csv", ".json"):
        return data.load("manifest", root, evaluate_on=evaluate_on)
    return data.load("folders", root, evaluate_on=evaluate_on, camera=camera)


def _own_recipe(dataset: data.Dataset) -> Sized:
    if len({sample.modality for sample in dataset.train}) == 2:
        return Sized(SYSU, images=30_213)
    return Sized(MARKET1501, images=12_936)


def _own_evaluations(dataset: data.Dataset) -> dict[str, Evaluation]:
    """Images of the query's camera are junk if the images come from more than one camera."""
    cameras = {sample.camera for sample in [*dataset.query, *dataset.gallery]}
    return {dataset.name: Evaluation("dukemtmc-reid" if len(cameras) > 1 else "generic")}


_TRAIN_ON = SplitOption("train", "identities to train on", ("train", "trainval"))
_ALL = (
    Setup(
        "sysu-mm01",
        "sysu",
        _always(SYSU),
        _sysu_settings,
        EMBEDDED,
    ),
    Setup(
        "regdb",
        "regdb",
        _always(REGDB),
        _regdb_directions,
        EMBEDDED,
        split={
            "trials": SplitOption(
                None,
                "trials to train and average; default: all ten of the real dataset, the first of "
                "the synthetic one",
                data.regdb.TRIALS,
                several=True,
            )
        },
        trials=data.regdb.TRIALS,
    ),
    Setup(
        "llcm",
        "llcm",
        _always(replace(SYSU, name="llcm")),  # it has the same two modalities
        _llcm_directions,
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
        _by_name,
        data_is="the folder of VehicleID",
        split={"size": SplitOption(800, "vehicles of the test list", data.vehicleid.SIZES)},
        read=_read_vehicleid,
    ),
    Setup(
        "folders",
        "folders",
        _own_recipe,
        _own_evaluations,
        data_is="your folder, or your list that ends in .csv or .json",
        split={
            "camera": SplitOption(
                "",
                "regular expression whose group is the camera in a file name; for folders",
                metavar="REGEX",
            )
        },
        read=_read_own_images,
    ),
)
SETUPS: dict[str, Setup] = {setup.dataset: setup for setup in _ALL}
