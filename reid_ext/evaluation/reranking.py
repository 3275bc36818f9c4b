"""rerank: distances of a gallery to queries, corrected by what the images' neighbours say."""

from collections.abc import Iterable
from numbers import Real
from typing import Any, overload

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import ops
from reid_ext.evaluation._engine import inputs
from reid_ext.evaluation._engine.expansion import augment_gallery, expand_queries
from reid_ext.evaluation._engine.inputs import METRICS, Array
from reid_ext.evaluation._engine.propagation import distance_blocks, propagate

METHODS = ("k_reciprocal", "gnn", "aqe", "dba")


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
    alpha: float = ...,
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
    alpha: float = ...,
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
    alpha: float = 3.0,
    top: int | None = None,
) -> Tensor | ops.Nearest:
    """Return re-ranked distances of a gallery, for :func:`evaluate_distances`.

    Images that share neighbours, among queries and gallery alike, become close. Query and gallery
    may be of different modalities. The methods:

    * ``"k_reciprocal"`` (Zhong et al. 2017): ``(1 - lambda_value) * Jaccard + lambda_value *
      original``; "Jaccard" compares weights on mutual neighbours, "original" is the metric's
      distance squared over the largest in the query's row, as in the released code.
    * ``"gnn"`` (Zhang et al. 2020): 1 - cosine of neighbourhoods passed twice along the graph of
      nearest images. Takes ``k1`` and ``k2``; cosines only.
    * ``"aqe"`` (Radenović et al. 2018): queries summed with their ``k2 - 1`` nearest gallery
      images, at weights ``cosine ** alpha``. Takes ``k2``, ``alpha`` and ``metric``, by which the
      sums, of unit length, are compared.
    * ``"dba"`` (Arandjelović and Zisserman 2012): gallery images summed so with their ``k2``
      nearest in the gallery, themselves included; queries as they are.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16: a tensor on any
            device, an array or nested lists. They need not be normalised.
        gallery: Features of shape (G, D), dtype and device like ``query``.
        method: One of the above. What another one takes has no effect.
        k1: Neighbours of an image that count: besides itself from 1 to Q + G - 1; with ``"gnn"``
            itself included, to Q + G.
        k2: Nearest images, itself included, over which an image is averaged; 1: none is.
        lambda_value: Weight of the original distance, in [0, 1].
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``, which is what the released
            code of ``"k_reciprocal"`` is mostly given, and squares again.
        alpha: Exponent of the weights, at least 0.
        top: Keep only so many gallery images per query, from 1 to G.

    Returns:
        Distances of shape (Q, G), float32 for half inputs; or with ``top``, ``distances`` and int64
        ``indices`` of shape (Q, top), nearest first, and no (Q, G) matrix is ever made. Equal
        distances go by index. Memory besides is O(Q + G), with ``"gnn"`` a few thousand bytes per
        image.

    Raises:
        ValueError: an argument that does not fit, by its name; features that are not finite.
    """
    where = "rerank"
    inputs.check_choice(where, "method", method, METHODS)
    inputs.check_choice(where, "metric", metric, METRICS)
    q, g = inputs.read_features(where, query, gallery)
    check_finite(where, "query", q)
    check_finite(where, "gallery", g)
    check_fraction(where, "lambda_value", lambda_value)
    check_numbers(where, method, k1, k2, alpha, top, len(q), len(g))
    k1, k2, top = int(k1), int(k2), None if top is None else int(top)
    if method == "k_reciprocal":
        options: dict[str, Any] = {"k1": k1, "k2": k2, "metric": metric}
        options["lambda_value"] = lambda_value
        if top is None:
            return ops.k_reciprocal(q, g, **options)
        return ops.k_reciprocal_nearest(q, g, top, **options)
    wide = torch.promote_types(q.dtype, torch.float32)
    q, g = F.normalize(q.to(wide)), F.normalize(g.to(wide))
    if method == "gnn":
        return _gather(distance_blocks(propagate(torch.cat([q, g]), k1, k2), len(q)), top)
    if method == "aqe":
        q = expand_queries(q, g, k2, alpha)
    else:
        g = augment_gallery(g, k2, alpha)
    return _distances(q, g, metric) if top is None else ops.nearest(q, top, keys=g, metric=metric)


def _distances(q: Tensor, g: Tensor, metric: str) -> Tensor:
    """Between unit rows."""
    cosine = (1 - ops.cosine_matrix(q, g)).clamp_(min=0)
    if metric == "cosine":
        return cosine
    return cosine.mul_(2) if metric == "squared_euclidean" else cosine.mul_(2).sqrt_()


def _gather(blocks: Iterable[Tensor], top: int | None) -> Tensor | ops.Nearest:
    """The rows of all blocks, or of each row the ``top`` smallest."""
    if top is None:
        return torch.cat(list(blocks))
    distances, indices = [], []
    for block in blocks:
        ordered = block.sort(dim=1, stable=True)
        distances.append(ordered.values[:, :top].clone())  # a slice would keep the whole block
        indices.append(ordered.indices[:, :top].clone())
    return ops.Nearest(torch.cat(distances), torch.cat(indices))


def check_numbers(
    where: str, method: str, k1: int, k2: int, alpha: float, top: int | None, q: int, g: int
) -> None:
    inputs.check_at_least(where, "k1", k1, 1)
    inputs.check_at_least(where, "k2", k2, 1)
    limits = {  # argument: its value, the most it may be, and what that is
        "k_reciprocal": [("k1", k1, q + g - 1, "the number of other images")],
        "gnn": [("k1", k1, q + g, "the number of images"), ("k2", k2, k1, "k1")],
        "aqe": [("k2", k2, g + 1, "a query and the gallery")],
        "dba": [("k2", k2, g, "the gallery's images")],
    }[method]
    if top is not None:
        inputs.check_at_least(where, "top", top, 1)
        limits.append(("top", top, g, "the gallery's images"))
    for name, value, most, what in limits:
        if value > most:
            raise ValueError(f"{where}: {name} must be at most {most}, {what}, got {value}")
    if not isinstance(alpha, Real) or not 0 <= alpha < float("inf"):
        got = inputs.described(alpha)
        raise ValueError(f"{where}: alpha must be a finite number >= 0, got {got}")


def check_finite(where: str, name: str, values: Tensor) -> None:
    if not torch.isfinite(values).all():
        row = int((~torch.isfinite(values)).any(1).nonzero()[0])
        raise ValueError(
            f"{where}: {name} must be finite, got NaN or infinity in row {row}; "
            "look at the image or the network it comes from"
        )


def check_fraction(where: str, name: str, value: float) -> None:
    if not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(f"{where}: {name} must be in [0, 1], got {inputs.described(value)}")
