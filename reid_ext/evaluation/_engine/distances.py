"""The distances between features: order keys, and distances computed from them."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F


def order_keys(query: Tensor, gallery: Tensor, metric: str) -> Tensor:
    """Return keys (Q, G) that order the gallery of each query as its distances do, smaller first.

    The keys omit the terms that all images of a query have in common, so that rounding makes fewer
    of them equal: ``-cos`` for the cosine, ``|g|**2 - 2 q g`` for Euclidean distances. They are
    float32, or float64 for float64 features, and NaN for rows that are not finite.
    """
    return _keys(query, _read_gallery(gallery, metric), metric)


def distances(query: Tensor, gallery: Tensor, metric: str) -> Tensor:
    """Return the distances (Q, G) between features."""
    return _as_distances(order_keys(query, gallery, metric), query, metric)


def distance_blocks(
    query: Tensor, gallery: Tensor, metric: str, rows: int
) -> Iterator[tuple[int, Tensor]]:
    """Yield the index of a first query and the distances of at most ``rows`` queries from it on."""
    terms = _read_gallery(gallery, metric)
    step = max(1, rows)
    for first in range(0, len(query), step):
        some = query[first : first + step]
        yield first, _as_distances(_keys(some, terms, metric), some, metric)


def _read_gallery(gallery: Tensor, metric: str) -> tuple[Tensor, Tensor]:
    """Return the rows to multiply with, and the values to add to the products."""
    g = _wide(gallery)
    if metric == "cosine":
        return F.normalize(g, dim=1).neg(), g.new_zeros(())
    return g, g.square().sum(1)


def _keys(query: Tensor, terms: tuple[Tensor, Tensor], metric: str) -> Tensor:
    q, (rows, squares) = _wide(query), terms
    with torch.autocast(q.device.type, enabled=False):
        if metric == "cosine":
            return _products(F.normalize(q, dim=1), rows)
        return torch.sub(squares, _products(q, rows), alpha=2)


def _products(a: Tensor, b: Tensor) -> Tensor:
    """Return a b^T; on the CPU, equal rows have equal products for any number of rows."""
    return torch.ops.reid_ext.products(a, b) if a.device.type == "cpu" else a @ b.T


def _as_distances(keys: Tensor, query: Tensor, metric: str) -> Tensor:
    if metric == "cosine":
        return keys + 1
    squared = (keys + _wide(query).square().sum(1, keepdim=True)).clamp(min=0)
    return squared.sqrt() if metric == "euclidean" else squared


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
