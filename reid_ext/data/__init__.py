"""Datasets and batches: lists of samples, image decoding, transforms, samplers, and the loader."""

from typing import TYPE_CHECKING, Any

from reid_ext.data.accounting import Files, files
from reid_ext.data.checking import CheckReport, check, numbers_of_labels, report_lines
from reid_ext.data.decoding import decode
from reid_ext.data.images import Images
from reid_ext.data.loading import Batch, Loader, loader
from reid_ext.data.readers import (
    cuhk03,
    dukemtmc,
    folders,
    llcm,
    manifest,
    market1501,
    msmt17,
    regdb,
    sysu,
    vehicleid,
    veri776,
)
from reid_ext.data.readers.cuhk03_mat import convert as convert_cuhk03
from reid_ext.data.readers.registry import READERS, check_split, load
from reid_ext.data.sample import (
    INFRARED,
    SYNTHETIC_MANIFEST,
    SYNTHETIC_SEED,
    VISIBLE,
    Dataset,
    Sample,
    relabel,
)
from reid_ext.data.sample_columns import columns
from reid_ext.data.samplers import IdentityBatches, SequentialBatches, TwoModalityBatches
from reid_ext.data.subsets import PARTS, fraction
from reid_ext.data.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    EvaluationTransform,
    TrainingTransform,
    Transform,
)
from reid_ext.data.view_labels import read_view_labels, with_views

if TYPE_CHECKING:
    from reid_ext.synthetic import synthesize

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "INFRARED",
    "PARTS",
    "READERS",
    "SYNTHETIC_MANIFEST",
    "SYNTHETIC_SEED",
    "VISIBLE",
    "Batch",
    "CheckReport",
    "Dataset",
    "EvaluationTransform",
    "Files",
    "IdentityBatches",
    "Images",
    "Loader",
    "Sample",
    "SequentialBatches",
    "TrainingTransform",
    "Transform",
    "TwoModalityBatches",
    "check",
    "check_split",
    "columns",
    "convert_cuhk03",
    "cuhk03",
    "decode",
    "dukemtmc",
    "files",
    "folders",
    "fraction",
    "llcm",
    "load",
    "loader",
    "manifest",
    "market1501",
    "msmt17",
    "numbers_of_labels",
    "read_view_labels",
    "regdb",
    "relabel",
    "report_lines",
    "synthesize",
    "sysu",
    "vehicleid",
    "veri776",
    "with_views",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Return :func:`reid_ext.synthetic.synthesize`, which itself imports this package."""
    if name == "synthesize":
        from reid_ext.synthetic import synthesize

        return synthesize
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
