"""The table that flows through the program: embeddings with named columns, and its files."""

from reid_ext.features.feature_set import FeatureSet
from reid_ext.features.files import load_pair, write_arrays

__all__ = ["FeatureSet", "load_pair", "write_arrays"]
