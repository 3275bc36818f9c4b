"""The nearest gallery images of every query, of a gallery that lies in shards.

Queries are few: all processes get all of them, and search their own shard. Of each query the k
nearest of every shard are merged by one process. The gallery stays where it is.
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
    """Return what :func:`reid_ext.search` returns of all shards together, for these queries.

    Args:
        query: This process's queries: a :class:`FeatureSet`, or features of shape (q, D); q may be
            0, and differ between processes.
        gallery: This process's gallery images, (g, D), dtype and device like ``query``.
        k: How many, from 1 to the size of the whole gallery.
        query_rows: As in :func:`reid_ext.distributed.rerank`; so are ``gallery_rows``, ``gathered``
            and ``group``.
        gallery_rows: Place of each image in the whole gallery, which is its index in the result.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.
        gathered: Return the rows of all queries in every process.
        group: Process group; None: the default one.

    Returns:
        Distances and gallery indices, of shape (q, k), or (Q, k) if ``gathered``; equal distances
        by index. Distances are those of one process to the rounding of the products, whose bits may
        depend on how many images are multiplied at a time.

    Raises:
        ArgumentError: as :func:`reid_ext.search`, in all processes.
    """
    with refused_together(WHERE, group):
        choice(WHERE, "metric", metric, METRICS)
        k = integer(WHERE, "k", k, 1)
        q = Shard(WHERE, "query", query, query_rows)
        g = Shard(WHERE, "gallery", gallery, gallery_rows)
        check_alike(q, g)
    q.join(group)
    g.join(group)
    integer(WHERE, "k", k, 1, g.length, "the gallery's rows")
    found = _of_shard(q.all(q.features, group), g, k, metric)
    shares = [stretch(q.length, part, world_size(group)) for part in range(world_size(group))]
    mine = shares[rank(group)].stop - shares[rank(group)].start
    distances, indices = (_from_all([x[s] for s in shares], mine, group) for x in found)
    best = _smallest(distances, indices, k)
    if gathered:
        return gather_rows(best[0], group), gather_rows(best[1], group)
    return q.deliver(best[0], group), q.deliver(best[1], group)


def _of_shard(query: Tensor, gallery: Shard, k: int, metric: str) -> tuple[Tensor, Tensor]:
    """The k nearest of one shard (Q, k); where it has fewer, the length of the whole stands."""
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
    """What all processes found for this one's stretch of the queries, side by side."""
    received = all_to_all(pieces, [mine] * len(pieces), group)
    return torch.cat(received.split(mine) if mine else [received], 1)


def _smallest(distances: Tensor, indices: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k smallest of each row, equal ones by index, NaN last."""
    order = indices.argsort(1)
    distances, indices = distances.gather(1, order), indices.gather(1, order)
    order = distances.argsort(dim=1, stable=True)[:, :k]
    return distances.gather(1, order), indices.gather(1, order)
