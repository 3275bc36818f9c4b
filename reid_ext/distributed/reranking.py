"""k-reciprocal re-ranking by several processes, with the bits of one.

Every process gets all features, N x D numbers. The products of all pairs, which are the work, are
divided: each process makes some tiles of them, the very tiles that one alone would make, and keeps
the nearest that it saw of every image. These lists are merged, each image's by one process, and
gathered. What follows is sparse, some microseconds an image, and every process does it for all;
then each makes the distances of its stretch of the queries. No matrix over all pairs is ever made.
"""

from typing import overload

from torch import Tensor

from reid_ext import ops
from reid_ext._runtime.arguments import Array, finite, integer
from reid_ext.distributed.collectives import Group, all_to_all, gather_rows, rank, world_size
from reid_ext.distributed.shards import Shard, check_alike, refused_together, stretch
from reid_ext.evaluation import read_options
from reid_ext.features import FeatureSet

WHERE = "distributed.rerank"
UNKNOWN = 2**62  # so many images, before the processes know how many there are


@overload
def rerank(
    query: Tensor | FeatureSet,
    gallery: Tensor | FeatureSet,
    *,
    query_rows: Array | None = ...,
    gallery_rows: Array | None = ...,
    k1: int = ...,
    k2: int = ...,
    lambda_value: float = ...,
    metric: str = ...,
    top: None = ...,
    gathered: bool = ...,
    group: Group = ...,
) -> Tensor: ...


@overload
def rerank(
    query: Tensor | FeatureSet,
    gallery: Tensor | FeatureSet,
    *,
    query_rows: Array | None = ...,
    gallery_rows: Array | None = ...,
    k1: int = ...,
    k2: int = ...,
    lambda_value: float = ...,
    metric: str = ...,
    top: int,
    gathered: bool = ...,
    group: Group = ...,
) -> ops.Nearest: ...


def rerank(
    query: Tensor | FeatureSet,
    gallery: Tensor | FeatureSet,
    *,
    query_rows: Array | None = None,
    gallery_rows: Array | None = None,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    metric: str = "squared_euclidean",
    top: int | None = None,
    gathered: bool = False,
    group: Group = None,
) -> Tensor | ops.Nearest:
    """Return what :func:`reid_ext.rerank` returns of all shards together, for these queries.

    Args:
        query: This process's queries: a :class:`FeatureSet`, or features of shape (q, D); q may be
            0, and differ between processes.
        gallery: This process's gallery images, (g, D), dtype and device like ``query``.
        query_rows: Place of each query in the whole set, (q,). None: shards in order of ranks.
        gallery_rows: Place of each image in the whole gallery, (g,): the order of the columns, and
            that of equal distances. One that comes twice, as from a sampler that fills up, counts
            once.
        k1: As in :func:`reid_ext.rerank`; so are k2, lambda_value, metric and top.
        k2: Nearest images over which an image is averaged.
        lambda_value: Weight of the original distance.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.
        top: Keep only so many gallery images per query.
        gathered: Return the rows of all queries, in the order of the whole set, in every process.
        group: Process group; None: the default one.

    Returns:
        Distances of shape (q, G) for the G images of the whole gallery, or ``distances`` and
        ``indices`` of shape (q, top); (Q, G) and (Q, top) if ``gathered``. The bits are those of
        one process with as many threads, on the same kind of processor or GPU. Memory besides is
        O(N D) for the features, and O(N).

    Raises:
        ArgumentError: as :func:`reid_ext.rerank`, in all processes.
    """
    given = {"k1": k1, "k2": k2, "lambda_value": lambda_value, "metric": metric}
    with refused_together(WHERE, group):
        read_options(WHERE, "k_reciprocal", given, UNKNOWN, UNKNOWN)
        q = Shard(WHERE, "query", query, query_rows)
        g = Shard(WHERE, "gallery", gallery, gallery_rows)
        check_alike(q, g)
        finite(WHERE, "query", q.features)
        finite(WHERE, "gallery", g.features)
    q.join(group)
    g.join(group)
    options = read_options(WHERE, "k_reciprocal", given, q.length, g.length)
    lambda_value = options.pop("lambda_value")
    if top is not None:
        top = integer(WHERE, "top", top, 1, g.length, "the gallery's images")
    both = q.all(q.features, group), g.all(g.features, group)
    part, parts = rank(group), world_size(group)
    scan = _merged(ops.k_reciprocal_scan(*both, **options, part=part, parts=parts), group)
    mine = stretch(q.length, part, parts)
    first, count = mine.start, mine.stop - mine.start
    options["lambda_value"] = lambda_value
    if top is None:
        rows = ops.k_reciprocal_of_scan(*both, scan, first, count, **options)
        return gather_rows(rows, group) if gathered else q.deliver(rows, group)
    nearest = ops.k_reciprocal_nearest_of_scan(*both, scan, first, count, top, **options)
    if gathered:
        return ops.Nearest(*(gather_rows(part, group) for part in nearest))
    return ops.Nearest(*(q.deliver(part, group) for part in nearest))


def _merged(scan: ops.Scan, group: Group) -> ops.Scan:
    """What the scans of all processes found, in every process; each merges some of the images."""
    parts = world_size(group)
    if parts == 1:
        return scan
    shares = [stretch(len(scan.keys), part, parts) for part in range(parts)]
    mine = shares[rank(group)].stop - shares[rank(group)].start

    def of_mine(x: Tensor) -> tuple[Tensor, ...]:
        return all_to_all([x[s] for s in shares], [mine] * parts, group).split(mine)

    scans = [ops.Scan(*of_one) for of_one in zip(*map(of_mine, scan), strict=True)]
    return ops.Scan(*(gather_rows(part, group) for part in ops.merge_scans(scans)))
