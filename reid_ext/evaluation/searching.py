"""The nearest gallery images of every query, without the matrix of distances."""

import torch
from torch import Tensor

from reid_ext import ops
from reid_ext._runtime.arguments import ArgumentError, Gallery, choice, integer
from reid_ext._runtime.precision import precision
from reid_ext.evaluation._engine.blocks import Block, Blocks, Upload
from reid_ext.evaluation._engine.inputs import as_set, read_features, read_rows
from reid_ext.features import FeatureSet
from reid_ext.ops import METRICS


def search(
    query: Gallery | FeatureSet,
    gallery: Gallery | FeatureSet,
    k: int,
    *,
    metric: str = "cosine",
) -> tuple[Tensor, Tensor]:
    """Return the k nearest gallery images of every query, nearest first.

    Args:
        query: A :class:`FeatureSet`, or features of shape (Q, D), float32, float64, bfloat16 or
            float16.
        gallery: Likewise, (G, D), dtype and device like ``query``; or a NumPy memory map, or
            blocks of rows, as in :func:`evaluate`: they are read once.
        k: How many, from 1 to G.
        metric: ``"cosine"`` (1 - cos), ``"euclidean"`` or ``"squared_euclidean"``.

    Returns:
        Distances of shape (Q, k), float32 or float64, and gallery indices of shape (Q, k), int64,
        on the device of ``query``. Equal distances by index. Memory is O(Q k) and a tile.

    Raises:
        ArgumentError: an invalid argument.
    """
    function = "search"
    choice(function, "metric", metric, METRICS)
    k = integer(function, "k", k, 1)
    q = read_rows(function, "query", query)
    images = as_set(function, "gallery", gallery)
    if not images.is_read_in_blocks(q.device):
        q, whole = read_features(function, q, images)
        integer(function, "k", k, 1, len(whole), "the gallery's rows")
        with precision("exact"):
            nearest = ops.nearest(q, k, keys=whole, metric=metric)
        return nearest.distances, nearest.indices
    blocks = Blocks(function, images.features, q, None)
    best: tuple[Tensor, Tensor] | None = None
    seen = 0
    with precision("exact"):
        for block in Upload(q.device)(blocks) if q.is_cuda else blocks:
            best = _merged(best, q, block, k, metric)
            seen = block.first + len(block.features)
    if best is None:
        raise ArgumentError(function, "gallery", "have a block of rows", "none")
    integer(function, "k", k, 1, seen, "the gallery's rows")
    return best


def _merged(
    best: tuple[Tensor, Tensor] | None, query: Tensor, block: Block, k: int, metric: str
) -> tuple[Tensor, Tensor]:
    """The k nearest of those so far and of a block behind them."""
    count = min(k, len(block.features))
    distances, indices = ops.nearest(query, count, keys=block.features, metric=metric)
    indices = indices + block.first
    if best is None:
        return distances, indices
    distances = torch.cat([best[0], distances], 1)
    indices = torch.cat([best[1], indices], 1)
    order = distances.argsort(dim=1, stable=True)[:, :k]  # the earlier index first
    return distances.gather(1, order), indices.gather(1, order)
