"""rerank: distances of a gallery to queries, adjusted by the neighbours of the images."""

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

# The arguments of each method, with their defaults.
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

    Two images become close if they share neighbours among queries and gallery. Query and gallery
    may be of different modalities. The methods are:

    * ``"k_reciprocal"`` (Zhong et al. 2017): ``(1 - lambda_value) * Jaccard + lambda_value *
      original``. "Jaccard" is the Jaccard distance between the weighted sets of k-reciprocal
      neighbours. "original" is the square of the metric's distance, divided by the largest such
      square between the query and any image of query or gallery, as in the released code.
      Arguments: ``k1`` (20), ``k2`` (6), ``lambda_value`` (0.3), ``metric``
      (``"squared_euclidean"``).
    * ``"gnn"`` (Zhang et al. 2020): 1 - cosine between vectors of length Q + G. The vector of an
      image first marks its ``k1`` nearest images. Two times, it is then replaced by a weighted sum
      of the vectors of its ``k2`` nearest images. Nearest images are found by cosine. Arguments:
      ``k1`` (20), ``k2`` (6).
    * ``"aqe"`` (Radenović et al. 2018): each query is summed with its ``k2 - 1`` nearest gallery
      images, weighted by ``cosine ** alpha``. The sums are normalised and compared by ``metric``.
      Arguments: ``k2`` (6), ``alpha`` (3), ``metric`` (``"squared_euclidean"``).
    * ``"dba"`` (Arandjelović and Zisserman 2012): each gallery image is summed in the same way with
      its ``k2`` nearest gallery images, including itself. Queries do not change. Arguments: as
      ``"aqe"``.

    Args:
        query: A :class:`FeatureSet`, or features of shape (Q, D), float32, float64, bfloat16 or
            float16, as a tensor on any device, an array or nested lists. Features need not be
            normalised.
        gallery: A :class:`FeatureSet`, or features of shape (G, D), with the dtype and device of
            ``query``.
        method: One of the methods above. The values in parentheses are the defaults of its
            arguments. Other arguments must be None. Default: ``"k_reciprocal"``.
        k1: Number of neighbours per image. For ``"k_reciprocal"`` it does not count the image
            itself and is in [1, Q + G - 1]. For ``"gnn"`` it counts the image itself and is in [1,
            Q + G].
        k2: Number of nearest images, including the image itself, over which an image is averaged. 1
            turns the averaging off.
        lambda_value: Weight of the original distance, in [0, 1].
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``. The released code of
            ``"k_reciprocal"`` is usually given squared Euclidean distances, which it squares again.
        alpha: Exponent of the weights, at least 0.
        top: Number of nearest gallery images to keep per query, in [1, G]. Default: None, which
            returns all distances.

    Returns:
        If ``top`` is None, distances of shape (Q, G), float32 for half inputs. Otherwise
        ``distances`` and int64 ``indices`` of shape (Q, top), nearest first, and no (Q, G) matrix
        is made. Equal distances are ordered by index.

    Raises:
        ArgumentError: If an argument is invalid or features are not finite.

    Examples:
        >>> import torch
        >>> from reid_ext import rerank
        >>> query = torch.tensor([[1.0, 0.0]])
        >>> gallery = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
        >>> rerank(query, gallery, k1=2, k2=1).argmin(1).tolist()
        [1]
        >>> rerank(query, gallery, k1=2, k2=1, top=2).indices.tolist()
        [[1, 2]]
    """
    function = "rerank"
    given = {"k1": k1, "k2": k2, "lambda_value": lambda_value, "metric": metric, "alpha": alpha}
    q, g = read_features(function, query, gallery)
    options = read_options(function, method, given, len(q), len(g))
    if top is not None:
        top = integer(function, "top", top, 1, len(g), "the number of gallery images")
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
    """Return re-ranked distances; ``metric`` is passed on if the method has that argument."""
    takes_metric = "metric" in METHODS.get(options.get("method", "k_reciprocal"), ())
    options = {"metric": metric, **options} if takes_metric else options
    try:
        return rerank(query, gallery, **options)
    except ArgumentError as error:
        raise error.named(function, **{name: f"rerank[{name!r}]" for name in options}) from None


def read_options(
    function: str, method: str, given: Mapping[str, Any], queries: int, images: int
) -> dict[str, Any]:
    """Return the arguments of a re-ranking method, with defaults in place of None.

    Args:
        function: Public function that the caller called, for error messages.
        method: One of :data:`METHODS`.
        given: Values of ``k1``, ``k2``, ``lambda_value``, ``metric`` and ``alpha``, or None.
        queries: Number of queries, for the upper limits of ``k1`` and ``k2``.
        images: Number of gallery images, for the same limits.

    Returns:
        Dictionary of the arguments that the method has.

    Raises:
        ArgumentError: If the method does not have a given argument, or a value is out of range.

    Examples:
        >>> from reid_ext.evaluation import read_options
        >>> read_options("rerank", "gnn", {"k1": 10}, queries=10, images=20)
        {'k1': 10, 'k2': 6}
    """
    takes = METHODS[choice(function, "method", method, METHODS)]
    for name, value in given.items():
        if value is not None and name not in takes:
            requirement = f"be left out with method {method!r}"
            advice = f"its arguments are {', '.join(takes)}"
            raise ArgumentError(function, name, requirement, repr(value)[:60], advice)
    options = {name: d if given.get(name) is None else given[name] for name, d in takes.items()}
    k1_most, k2_most = {
        "k_reciprocal": ((queries + images - 1, "the number of other images"), None),
        "gnn": ((queries + images, "the number of images"), (options.get("k1"), "k1")),
        "aqe": (None, (images + 1, "a query and all gallery images")),
        "dba": (None, (images, "the number of gallery images")),
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
    """Return the rows of all blocks, or the ``top`` smallest values of each row."""
    if top is None:
        return torch.cat(list(blocks))
    nearest, indices = [], []
    for block in blocks:
        ordered = block.sort(dim=1, stable=True)
        nearest.append(ordered.values[:, :top].clone())  # a slice would keep the whole block
        indices.append(ordered.indices[:, :top].clone())
    return ops.Nearest(torch.cat(nearest), torch.cat(indices))
