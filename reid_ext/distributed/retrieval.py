"""CMC, mAP and mINP of queries and a gallery that lie in shards, one per process.

Queries are few: all processes get all of them. The gallery stays where it is. A positive's distance
is computed where the image lies, and each process counts what it has before it; the sums are the
ranks. So 16 bytes per positive and the queries' features travel, whatever the gallery's size.
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
    """Return what :func:`reid_ext.evaluate` returns of all shards together, in every process.

    Args:
        query: This process's queries: a :class:`FeatureSet`, or features of shape (q, D); q may be
            0, and differ between processes.
        gallery: This process's gallery images, (g, D), likewise.
        query_ids: Identities of shape (q,), and so on for the other labels.
        gallery_ids: Identities of shape (g,).
        query_cameras: As in :func:`reid_ext.evaluate`; so are arguments that are not named here.
        gallery_cameras: Cameras of shape (g,).
        query_rows: Place of each query in the whole set, (q,): the order of per-query results. One
            that comes twice, as from a sampler that fills up, counts once. None: shards in order of
            ranks.
        gallery_rows: Place of each image in the whole gallery, likewise: equal distances are ranked
            by it.
        group: Process group; None: the default one.

    Raises:
        ArgumentError: as :func:`reid_ext.evaluate`, in all processes; a protocol without a single
            gallery for all queries.
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
    """Rows of one process with their labels; after :meth:`join` those of the whole set."""

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
