"""rerank: distances of a gallery to queries, corrected by what the images' neighbours say."""

from collections.abc import Iterable, Mapping
from typing import Any, overload

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import ops
from reid_ext._runtime.arguments import ArgumentError, Gallery, choice, finite, integer, number
from reid_ext.evaluation._engine.distances import distances
from reid_ext.evaluation._engine.expansion import augment_gallery, expand_queries
from reid_ext.evaluation._engine.inputs import read_features
from reid_ext.evaluation._engine.propagation import neighbourhood_distances, propagate
from reid_ext.features import FeatureSet
from reid_ext.ops import METRICS

# What each method takes, with its default.
METHODS: dict[str, dict[str, Any]] = {
    "k_reciprocal": {"k1": 20, "k2": 6, "lambda_value": 0.3, "metric": "squared_euclidean"},
    "gnn": {"k1": 20, "k2": 6},
    "aqe": {"k2": 6, "alpha": 3.0, "metric": "squared_euclidean"},
    "dba": {"k2": 6, "alpha": 3.0, "metric": "squared_euclidean"},
}


@overload
def rerank(
    query: Gallery | FeatureSet,
    gallery: Gallery | FeatureSet,
    *,
    method: str = ...,
    k1: int | None = ...,
    k2: int | None = ...,
    lambda_value: float | None = ...,
    metric: str | None = ...,
    alpha: float | None = ...,
    top: None = ...,
) -> Tensor: ...


@overload
def rerank(
    query: Gallery | FeatureSet,
    gallery: Gallery | FeatureSet,
    *,
    method: str = ...,
    k1: int | None = ...,
    k2: int | None = ...,
    lambda_value: float | None = ...,
    metric: str | None = ...,
    alpha: float | None = ...,
    top: int,
) -> ops.Nearest: ...


def rerank(
    query: Gallery | FeatureSet,
    gallery: Gallery | FeatureSet,
    *,
    method: str = "k_reciprocal",
    k1: int | None = None,
    k2: int | None = None,
    lambda_value: float | None = None,
    metric: str | None = None,
    alpha: float | None = None,
    top: int | None = None,
) -> Tensor | ops.Nearest:
    """Return re-ranked distances of a gallery, for :func:`evaluate_distances`.

    Images that share neighbours, among queries and gallery alike, become close. Query and gallery
    may be of different modalities. The methods:

    * ``"k_reciprocal"`` (Zhong et al. 2017): ``(1 - lambda_value) * Jaccard + lambda_value *
      original``; "Jaccard" compares weights on mutual neighbours, "original" is the metric's
      distance squared over the largest in the query's row, as in the released code. Takes
      ``k1`` (20), ``k2`` (6), ``lambda_value`` (0.3) and ``metric`` (``"squared_euclidean"``).
    * ``"gnn"`` (Zhang et al. 2020): 1 - cosine of neighbourhoods passed twice along the graph of
      nearest images. Takes ``k1`` (20) and ``k2`` (6); compares by cosine.
    * ``"aqe"`` (Radenović et al. 2018): queries summed with their ``k2 - 1`` nearest gallery
      images, at weights ``cosine ** alpha``. Takes ``k2`` (6), ``alpha`` (3) and ``metric``
      (``"squared_euclidean"``), by which the sums, of unit length, are compared.
    * ``"dba"`` (Arandjelović and Zisserman 2012): gallery images summed in the same way with their
      ``k2`` nearest in the gallery, themselves included; queries as they are.

    Args:
        query: A :class:`FeatureSet`, or features of shape (Q, D), float32, float64, bfloat16 or
            float16: a tensor on any device, an array or nested lists. They need not be normalised.
        gallery: Likewise, (G, D), dtype and device like ``query``.
        method: One of the above; the numbers in brackets are the defaults. An argument that a
            method does not take is an error.
        k1: Neighbours of an image that count: besides itself from 1 to Q + G - 1; with ``"gnn"``
            itself included, to Q + G.
        k2: Nearest images, itself included, over which an image is averaged; 1: none is.
        lambda_value: Weight of the original distance, in [0, 1].
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``; the last is what the
            released code of ``"k_reciprocal"`` is mostly given, and squares again.
        alpha: Exponent of the weights, at least 0.
        top: Keep only so many gallery images per query, from 1 to G.

    Returns:
        Distances of shape (Q, G), float32 for half inputs; or with ``top``, ``distances`` and int64
        ``indices`` of shape (Q, top), nearest first, and no (Q, G) matrix is ever made. Equal
        distances are ordered by index.

    Raises:
        ArgumentError: an invalid argument; features that are not finite.
    """
    function = "rerank"
    given = {"k1": k1, "k2": k2, "lambda_value": lambda_value, "metric": metric, "alpha": alpha}
    q, g = read_features(function, query, gallery)
    options = read_options(function, method, given, len(q), len(g))
    if top is not None:
        top = integer(function, "top", top, 1, len(g), "the gallery's images")
    finite(function, "query", q)
    finite(function, "gallery", g)
    if method == "k_reciprocal":
        if top is None:
            return ops.k_reciprocal(q, g, **options)
        return ops.k_reciprocal_nearest(q, g, top, **options)
    wide = torch.promote_types(q.dtype, torch.float32)
    q, g = F.normalize(q.to(wide)), F.normalize(g.to(wide))
    if method == "gnn":
        rows = propagate(torch.cat([q, g]), options["k1"], options["k2"])
        return _gather(neighbourhood_distances(rows, len(q)), top)
    if method == "aqe":
        q = expand_queries(q, g, options["k2"], options["alpha"])
    else:
        g = augment_gallery(g, options["k2"], options["alpha"])
    if top is not None:
        return ops.nearest(q, top, keys=g, metric=options["metric"])
    return distances(q, g, options["metric"]).clamp_(min=0)


def rerank_by(
    function: str, query: Tensor, gallery: Tensor, metric: str, options: Mapping[str, Any]
) -> Tensor:
    """Re-ranked distances by ``options``, and by ``metric`` where the method takes one."""
    takes_metric = "metric" in METHODS.get(options.get("method", "k_reciprocal"), ())
    options = {"metric": metric, **options} if takes_metric else options
    try:
        return rerank(query, gallery, **options)
    except ArgumentError as error:
        raise error.named(function, **{name: f"rerank[{name!r}]" for name in options}) from None


def read_options(
    function: str, method: str, given: Mapping[str, Any], queries: int, images: int
) -> dict[str, Any]:
    """The arguments of a method, with its default for each argument that is None.

    Raises:
        ArgumentError: an argument that the method does not take, or a value out of range.
    """
    takes = METHODS[choice(function, "method", method, METHODS)]
    for name, value in given.items():
        if value is not None and name not in takes:
            requirement = f"be left out with method {method!r}"
            advice = f"it takes {', '.join(takes)}"
            raise ArgumentError(function, name, requirement, repr(value)[:60], advice)
    options = {name: d if given.get(name) is None else given[name] for name, d in takes.items()}
    k1_most, k2_most = {
        "k_reciprocal": ((queries + images - 1, "the number of other images"), None),
        "gnn": ((queries + images, "the number of images"), (options.get("k1"), "k1")),
        "aqe": (None, (images + 1, "a query and the gallery")),
        "dba": (None, (images, "the gallery's images")),
    }[method]
    for name, most in (("k1", k1_most), ("k2", k2_most)):
        if name in takes:
            limits = () if most is None else most
            options[name] = integer(function, name, options[name], 1, *limits)
    if "lambda_value" in takes:
        options["lambda_value"] = number(function, "lambda_value", options["lambda_value"], 0, 1)
    if "alpha" in takes:
        options["alpha"] = number(function, "alpha", options["alpha"], 0)
    if "metric" in takes:
        choice(function, "metric", options["metric"], METRICS)
    return options


def _gather(blocks: Iterable[Tensor], top: int | None) -> Tensor | ops.Nearest:
    """The rows of all blocks, or of each row the ``top`` smallest."""
    if top is None:
        return torch.cat(list(blocks))
    nearest, indices = [], []
    for block in blocks:
        ordered = block.sort(dim=1, stable=True)
        nearest.append(ordered.values[:, :top].clone())  # a slice would keep the whole block
        indices.append(ordered.indices[:, :top].clone())
    return ops.Nearest(torch.cat(nearest), torch.cat(indices))
