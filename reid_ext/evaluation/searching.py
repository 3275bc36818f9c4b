"""The nearest gallery images of every query, without a matrix of distances."""

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
        gallery: A :class:`FeatureSet`, or features of shape (G, D), with the dtype and device of
            ``query``. It may also be a NumPy memory map or blocks of rows, as in :func:`evaluate`.
            Blocks are read once.
        k: Number of gallery images per query, in [1, G].
        metric: ``"cosine"`` (1 - cosine, default), ``"euclidean"`` or ``"squared_euclidean"``.

    Returns:
        Distances of shape (Q, k), float32 or float64, and gallery indices of shape (Q, k), int64,
        on the device of ``query``. Equal distances are ordered by index. Working memory is O(Q k)
        plus one tile.

    Raises:
        ArgumentError: If an argument is invalid.

    Examples:
        >>> import torch
        >>> from reid_ext import search
        >>> gallery = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
        >>> distances, indices = search(torch.tensor([[1.0, 0.0]]), gallery, k=2)
        >>> indices.tolist()
        [[1, 2]]
        >>> float(distances[0, 0])
        0.0
    """
    function = "search"
    choice(function, "metric", metric, METRICS)
    k = integer(function, "k", k, 1)
    q = read_rows(function, "query", query)
    images = as_set(function, "gallery", gallery)
    if not images.is_read_in_blocks(q.device):
        q, whole = read_features(function, q, images)
        integer(function, "k", k, 1, len(whole), "the number of gallery rows")
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
        raise ArgumentError(function, "gallery", "contain at least one block of rows", "no block")
    integer(function, "k", k, 1, seen, "the number of gallery rows")
    return best


def _merged(
    best: tuple[Tensor, Tensor] | None, query: Tensor, block: Block, k: int, metric: str
) -> tuple[Tensor, Tensor]:
    """Return the k nearest images among those found so far and those of the next block."""
    count = min(k, len(block.features))
    distances, indices = ops.nearest(query, count, keys=block.features, metric=metric)
    indices = indices + block.first
    if best is None:
        return distances, indices
    distances = torch.cat([best[0], distances], 1)
    indices = torch.cat([best[1], indices], 1)
    order = distances.argsort(dim=1, stable=True)[:, :k]  # the earlier index first
    return distances.gather(1, order), indices.gather(1, order)
