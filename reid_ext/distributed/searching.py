"""The nearest gallery images of every query, for a gallery that is divided into shards.

Every process receives all queries, which are few, and searches its own shard. For each query, one
process merges the k nearest images of every shard. The gallery stays in its shards.
"""

import torch
from torch import Tensor

from reid_ext import evaluation
from reid_ext._runtime.arguments import Array, choice, integer
from reid_ext.distributed.collectives import Group, all_to_all, gather_rows, rank, world_size
from reid_ext.distributed.shards import Shard, check_alike, refused_together, stretch
from reid_ext.features import FeatureSet
from reid_ext.ops import METRICS

WHERE = "distributed.search"


def search(
    query: Tensor | FeatureSet,
    gallery: Tensor | FeatureSet,
    k: int,
    *,
    query_rows: Array | None = None,
    gallery_rows: Array | None = None,
    metric: str = "cosine",
    gathered: bool = False,
    group: Group = None,
) -> tuple[Tensor, Tensor]:
    """Return :func:`reid_ext.search` of all shards together, for this process's queries.

    Args:
        query: This process's queries: a :class:`FeatureSet`, or features of shape (q, D). q may
            differ between processes and may be 0.
        gallery: This process's gallery images, (g, D), with the dtype and device of ``query``.
        k: Number of gallery images per query, from 1 to the size of the whole gallery.
        query_rows: As in :func:`reid_ext.distributed.rerank`.
        gallery_rows: Index of each image in the whole gallery, shape (g,). The result contains
            these indices. Default: None, which concatenates the shards in the order of the ranks.
        metric: ``"cosine"`` (default), ``"euclidean"`` or ``"squared_euclidean"``.
        gathered: Whether every process returns the rows of all queries. Default: False.
        group: Process group. Default: None, the default group.

    Returns:
        Distances and gallery indices, each of shape (q, k), or (Q, k) with ``gathered``. Equal
        distances are ordered by index. Distances agree with those of one process up to the rounding
        of the products, which may depend on the number of images in a multiplication.

    Raises:
        ArgumentError: If an argument is invalid, as in :func:`reid_ext.search`. All processes
            raise.

    Examples:
        >>> import torch
        >>> from reid_ext import distributed
        >>> gallery = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
        >>> distances, indices = distributed.search(torch.tensor([[1.0, 0.0]]), gallery, k=2)
        >>> indices.tolist()
        [[1, 2]]
    """
    with refused_together(WHERE, group):
        choice(WHERE, "metric", metric, METRICS)
        k = integer(WHERE, "k", k, 1)
        q = Shard(WHERE, "query", query, query_rows)
        g = Shard(WHERE, "gallery", gallery, gallery_rows)
        check_alike(q, g)
    q.join(group)
    g.join(group)
    integer(WHERE, "k", k, 1, g.length, "the number of gallery rows")
    found = _of_shard(q.all(q.features, group), g, k, metric)
    shares = [stretch(q.length, part, world_size(group)) for part in range(world_size(group))]
    mine = shares[rank(group)].stop - shares[rank(group)].start
    distances, indices = (_from_all([x[s] for s in shares], mine, group) for x in found)
    best = _smallest(distances, indices, k)
    if gathered:
        return gather_rows(best[0], group), gather_rows(best[1], group)
    return q.deliver(best[0], group), q.deliver(best[1], group)


def _of_shard(query: Tensor, gallery: Shard, k: int, metric: str) -> tuple[Tensor, Tensor]:
    """Return the k nearest of one shard (Q, k); missing ones have index ``gallery.length``."""
    images = gallery.features[gallery.mine]
    wide = torch.promote_types(query.dtype, torch.float32)
    distances = query.new_full((len(query), k), torch.nan, dtype=wide)
    indices = torch.full_like(distances, gallery.length, dtype=torch.int64)
    if len(images) > 0 and len(query) > 0:
        count = min(k, len(images))
        near, rows = evaluation.search(query, images, count, metric=metric)
        distances[:, :count], indices[:, :count] = near, gallery.places[rows]
    return distances, indices


def _from_all(pieces: list[Tensor], mine: int, group: Group) -> Tensor:
    """Return what all processes found for this one's part of the queries, side by side."""
    received = all_to_all(pieces, [mine] * len(pieces), group)
    return torch.cat(received.split(mine) if mine else [received], 1)


def _smallest(distances: Tensor, indices: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k smallest values of each row; equal ones by index, NaN last."""
    order = indices.argsort(1)
    distances, indices = distances.gather(1, order), indices.gather(1, order)
    order = distances.argsort(dim=1, stable=True)[:, :k]
    return distances.gather(1, order), indices.gather(1, order)
