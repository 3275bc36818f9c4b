"""Reading datasets and feeding batches: lists of samples, images, samplers, loader."""

from reid_ext.data import (
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
from reid_ext.data.check import check
from reid_ext.data.cuhk03_mat import convert as convert_cuhk03
from reid_ext.data.decoding import decode
from reid_ext.data.fraction import fraction
from reid_ext.data.images import Images
from reid_ext.data.loading import Batch, Loader, loader
from reid_ext.data.registry import READERS, load
from reid_ext.data.sample import INFRARED, VISIBLE, Dataset, Sample, relabel
from reid_ext.data.samplers import IdentityBatches, SequentialBatches, TwoModalityBatches
from reid_ext.data.synthetic import synthesize
from reid_ext.data.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    EvaluationTransform,
    TrainingTransform,
    Transform,
)
from reid_ext.data.view_labels import read_view_labels, with_views

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "INFRARED",
    "READERS",
    "VISIBLE",
    "Batch",
    "Dataset",
    "EvaluationTransform",
    "IdentityBatches",
    "Images",
    "Loader",
    "Sample",
    "SequentialBatches",
    "TrainingTransform",
    "Transform",
    "TwoModalityBatches",
    "check",
    "convert_cuhk03",
    "cuhk03",
    "decode",
    "dukemtmc",
    "folders",
    "fraction",
    "llcm",
    "load",
    "loader",
    "manifest",
    "market1501",
    "msmt17",
    "read_view_labels",
    "regdb",
    "relabel",
    "synthesize",
    "sysu",
    "vehicleid",
    "veri776",
    "with_views",
]
