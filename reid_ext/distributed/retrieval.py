"""CMC, mAP and mINP of queries and a gallery that are divided into shards, one per process.

Every process receives all queries, which are few. The gallery stays in its shards. The process that
stores a positive computes its distance, and each process counts the images of its shard that come
before it. The sums of these counts are the ranks. Communicated are the features of the queries, the
labels of all images, and 12 bytes per positive (16 in float64).
"""

from typing import Any

from torch import Tensor
from torch import distributed as dist

from reid_ext._runtime.arguments import Array
from reid_ext.distributed.collectives import Group, is_distributed
from reid_ext.distributed.shards import Shard, check_alike, refused_together
from reid_ext.evaluation import Ranking, rank_shard
from reid_ext.features import FeatureSet

FUNCTION = "distributed.evaluate"
LABELS = ("identities", "cameras")


def evaluate(
    query: Tensor | FeatureSet,
    gallery: Tensor | FeatureSet,
    *,
    query_ids: Array | None = None,
    gallery_ids: Array | None = None,
    query_cameras: Array | None = None,
    gallery_cameras: Array | None = None,
    query_rows: Array | None = None,
    gallery_rows: Array | None = None,
    protocol: str = "market1501",
    metric: str | None = None,
    max_rank: int = 50,
    average_precision: str | None = None,
    compute: str = "exact",
    group: Group = None,
    **settings: Any,
) -> Ranking:
    """Return :func:`reid_ext.evaluate` of all shards together, in every process.

    Args:
        query: This process's queries: a :class:`FeatureSet`, or features of shape (q, D). q may
            differ between processes and may be 0.
        gallery: This process's gallery images, a :class:`FeatureSet` or features of shape (g, D). g
            may differ between processes and may be 0.
        query_ids: Identities of shape (q,). Required if ``query`` is not a :class:`FeatureSet`.
        gallery_ids: Identities of shape (g,). Required if ``gallery`` is not a :class:`FeatureSet`.
        query_cameras: Cameras of shape (q,), for protocols that need them.
        gallery_cameras: Cameras of shape (g,), for protocols that need them.
        query_rows: Index of each query in the whole set, shape (q,). It determines the order of
            per-query results. A query that several processes have, for example from a sampler that
            pads, counts once. Default: None, which concatenates the shards in the order of the
            ranks.
        gallery_rows: Index of each image in the whole gallery, shape (g,). It determines the order
            of equal distances. Duplicate images count once. Default: None, as for ``query_rows``.
        protocol: As in :func:`reid_ext.evaluate`. It must have a single gallery for all queries.
        metric: As in :func:`reid_ext.evaluate`.
        max_rank: As in :func:`reid_ext.evaluate`.
        average_precision: As in :func:`reid_ext.evaluate`.
        compute: As in :func:`reid_ext.evaluate`.
        group: Process group. Default: None, the default group.
        **settings: Settings of the protocol, as in :func:`reid_ext.evaluate`.

    Returns:
        :class:`Ranking`, the same in every process.

    Raises:
        ArgumentError: If an argument is invalid, as in :func:`reid_ext.evaluate`. All processes
            raise.

    Examples:
        >>> import torch
        >>> from reid_ext import distributed
        >>> ranking = distributed.evaluate(
        ...     torch.eye(2), torch.eye(2), query_ids=[1, 2], gallery_ids=[1, 2],
        ...     query_cameras=[1, 1], gallery_cameras=[2, 2],
        ... )
        >>> ranking.mAP
        1.0
    """
    with refused_together(FUNCTION, group):
        q = _Labelled("query", query, query_ids, query_cameras, query_rows)
        g = _Labelled("gallery", gallery, gallery_ids, gallery_cameras, gallery_rows)
        check_alike(q, g)
    q.join(group)
    g.join(group)

    def add_up(x: Tensor) -> None:
        if is_distributed(group):
            dist.all_reduce(x, group=group)

    names = {"features": "query", "identities": "query_ids", "cameras": "query_cameras"}
    queries = FeatureSet.of_arguments(FUNCTION, names, q.all(q.features, group), q.columns)
    return rank_shard(
        FUNCTION,
        queries,
        g.columns,
        g.features[g.mine],
        g.places,
        add_up,
        protocol=protocol,
        metric=metric,
        max_rank=max_rank,
        average_precision=average_precision,
        compute=compute,
        **settings,
    )


class _Labelled(Shard):
    """Rows of one process with their labels; after :meth:`join`, the labels of the whole set."""

    def __init__(
        self,
        name: str,
        features: Tensor | FeatureSet,
        ids: Array | None,
        cameras: Array | None,
        rows: Array | None,
    ):
        super().__init__(FUNCTION, name, features, rows)
        given: dict[str, Any] = {"identities": ids, "cameras": cameras}
        if isinstance(features, FeatureSet):
            given = {label: features.columns.get(label) for label in LABELS}
        names = {"identities": "ids", "cameras": "cameras"}
        self.columns = {
            label: self.read(names[label], values)
            for label, values in given.items()
            if values is not None or label == "identities"
        }
        self.given["cameras"] = "cameras" in self.columns

    def join(self, group: Group) -> None:
        super().join(group)
        self.columns = {label: self.all(x, group) for label, x in self.columns.items()}
