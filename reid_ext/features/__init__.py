"""FeatureSet, which holds embeddings with named columns, and the files that store it."""

from reid_ext.features.feature_set import FeatureSet
from reid_ext.features.files import load_pair, write_arrays

__all__ = ["FeatureSet", "load_pair", "write_arrays"]


def __dir__() -> list[str]:
    return __all__
