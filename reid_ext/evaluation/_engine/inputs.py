"""Reads the features of functions that need no labels, from a FeatureSet or from arrays."""

import torch
from torch import Tensor

from reid_ext._runtime.arguments import Gallery, alike, matrix
from reid_ext.features import FeatureSet


def read_features(
    function: str, query: Gallery | FeatureSet, gallery: Gallery | FeatureSet
) -> tuple[Tensor, Tensor]:
    """Return features (Q, D) and (G, D) of one dtype on one device, without gradient."""
    q = read_rows(function, "query", query)
    return promoted(function, q, read_rows(function, "gallery", gallery))


def promoted(function: str, query: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in the wider of their dtypes, which loses nothing."""
    wide = torch.promote_types(query.dtype, gallery.dtype)
    q, g = query.to(wide), gallery.to(wide)
    alike(function, "gallery", g, "query", q)
    return q, g


def as_set(function: str, argument: str, features: Gallery | FeatureSet) -> FeatureSet:
    """Return features, in one piece or in blocks, as a FeatureSet."""
    if isinstance(features, FeatureSet):
        return features
    return FeatureSet.of_arguments(function, {"features": argument}, features, {})


def read_rows(function: str, argument: str, features: Gallery | FeatureSet) -> Tensor:
    """Return features (N, D), without gradient."""
    if isinstance(features, FeatureSet):
        return features.tensor()
    return matrix(function, argument, features)
