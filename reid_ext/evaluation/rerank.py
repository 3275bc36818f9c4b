"""rerank: distances of a gallery to queries, corrected by what the images' neighbours say."""

from typing import Any, overload

import torch
from torch import Tensor

from reid_ext import ops
from reid_ext.evaluation import inputs
from reid_ext.evaluation.inputs import METRICS, Array

METHODS = ("k_reciprocal",)


@overload
def rerank(
    query: Array,
    gallery: Array,
    *,
    method: str = ...,
    k1: int = ...,
    k2: int = ...,
    lambda_value: float = ...,
    metric: str = ...,
    top: None = ...,
) -> Tensor: ...


@overload
def rerank(
    query: Array,
    gallery: Array,
    *,
    method: str = ...,
    k1: int = ...,
    k2: int = ...,
    lambda_value: float = ...,
    metric: str = ...,
    top: int,
) -> ops.Nearest: ...


def rerank(
    query: Array,
    gallery: Array,
    *,
    method: str = "k_reciprocal",
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    metric: str = "squared_euclidean",
    top: int | None = None,
) -> Tensor | ops.Nearest:
    """Return re-ranked distances of a gallery, for :func:`evaluate_distances`.

    Two images that share their mutual nearest neighbours, among queries and gallery alike, become
    close: the result is ``(1 - lambda_value) * Jaccard + lambda_value * original`` as in the
    released code of Zhong et al. 2017, where "original" is the metric's distance squared over the
    largest in the query's row. Query and gallery may be of different modalities.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16: a tensor on any
            device, an array or nested lists. They need not be normalised.
        gallery: Features of shape (G, D), dtype and device like ``query``.
        method: ``"k_reciprocal"``.
        k1: Neighbours of an image that count besides itself, from 1 to Q + G - 1.
        k2: Nearest images, itself included, over which an image's weights are averaged; 1: none.
        lambda_value: Weight of the original distance, in [0, 1].
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``, which is what the released
            code is mostly given, and squares again.
        top: Keep only so many gallery images per query, from 1 to G.

    Returns:
        Distances of shape (Q, G) in [0, 1], float32 for half inputs; or with ``top``, ``distances``
        and int64 ``indices`` of shape (Q, top), nearest first, and no (Q, G) matrix is ever made.
        Equal distances go by index. Memory besides is O(Q + G).

    Raises:
        ValueError: an argument that does not fit, by its name; features that are not finite.

    Source:
        Zhong et al. 2017, "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR.
    """
    where = "rerank"
    inputs.check_choice(where, "method", method, METHODS)
    inputs.check_choice(where, "metric", metric, METRICS)
    q, g = inputs.read_features(where, query, gallery)
    check_finite(where, "query", q)
    check_finite(where, "gallery", g)
    check_neighbours(where, k1, k2, len(q) + len(g))
    check_fraction(where, "lambda_value", lambda_value)
    options: dict[str, Any] = {
        "k1": int(k1),
        "k2": int(k2),
        "lambda_value": lambda_value,
        "metric": metric,
    }
    if top is None:
        return ops.k_reciprocal(q, g, **options)
    inputs.check_at_least(where, "top", top, 1)
    if top > len(g):
        raise ValueError(f"{where}: top must be at most the gallery's {len(g)} images, got {top}")
    return ops.k_reciprocal_nearest(q, g, int(top), **options)


def check_finite(where: str, name: str, values: Tensor) -> None:
    if not torch.isfinite(values).all():
        row = int((~torch.isfinite(values)).any(1).nonzero()[0])
        raise ValueError(
            f"{where}: {name} must be finite, got NaN or infinity in row {row}; "
            "look at the image or the network it comes from"
        )


def check_neighbours(where: str, k1: int, k2: int, images: int) -> None:
    inputs.check_at_least(where, "k1", k1, 1)
    inputs.check_at_least(where, "k2", k2, 1)
    if k1 >= images:
        raise ValueError(
            f"{where}: k1 must be at most {images - 1}, the number of other images, got {k1}"
        )


def check_fraction(where: str, name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{where}: {name} must be in [0, 1], got {value}")
