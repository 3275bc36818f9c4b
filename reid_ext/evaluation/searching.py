"""The nearest gallery images of every query, without the matrix of distances."""

import torch
from torch import Tensor

from reid_ext import ops
from reid_ext.evaluation._engine import inputs
from reid_ext.evaluation._engine.blocks import Block, Blocks, Upload, is_streamed
from reid_ext.evaluation._engine.compute import precision
from reid_ext.evaluation._engine.inputs import METRICS, Array, Gallery


def search(
    query: Array, gallery: Gallery, k: int, *, metric: str = "cosine"
) -> tuple[Tensor, Tensor]:
    """Return the k nearest gallery images of every query, nearest first.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16.
        gallery: Features of shape (G, D), dtype and device like ``query``; or a NumPy memory map,
            or blocks of rows, as in :func:`evaluate`: gone through once.
        k: How many, from 1 to G.
        metric: ``"cosine"`` (1 - cos), ``"euclidean"`` or ``"squared_euclidean"``.

    Returns:
        Distances of shape (Q, k), float32 or float64, and gallery indices of shape (Q, k), int64,
        on the device of ``query``. Equal distances by index. Memory is O(Q k) and a tile.

    Raises:
        ValueError: an argument that does not fit, by its name.
    """
    where = "search"
    inputs.check_choice(where, "metric", metric, METRICS)
    inputs.check_at_least(where, "k", k, 1)
    if not is_streamed(query, gallery):
        q, whole = inputs.read_features(where, query, gallery)
        _check_k(k, len(whole))
        with precision("exact"):
            nearest = ops.nearest(q, k, keys=whole, metric=metric)
        return nearest.distances, nearest.indices
    q = inputs.read_matrix(where, "query", query)
    blocks = Blocks(where, gallery, q, None)
    best: tuple[Tensor, Tensor] | None = None
    rows = 0
    with precision("exact"):
        for block in Upload(q.device)(blocks) if q.is_cuda else blocks:
            best = _merged(best, q, block, k, metric)
            rows = block.first + len(block.features)
    if best is None:
        raise ValueError(f"{where}: gallery must have a block of rows, got none")
    _check_k(k, rows)
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


def _check_k(k: int, rows: int) -> None:
    if k > rows:
        raise ValueError(f"search: k must be at most the gallery's rows, {rows}, got {k}")
