"""k-reciprocal re-ranking in several processes, bit-identical to one process.

Every process receives all features, N x D numbers. The products of all pairs, which are most of the
work, are divided: each process computes some of the tiles that one process would compute, and keeps
the nearest images that it found for every image. One process merges the lists of each image, and
the merged lists are gathered. The remaining work is sparse and takes some microseconds per image,
so every process does it for all images. Then each process computes the distances of its part of the
queries. No process stores a matrix over all pairs.
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
UNKNOWN = 2**62  # upper limit of the image count, before the processes know it


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
    """Return :func:`reid_ext.rerank` of all shards together, for this process's queries.

    Args:
        query: This process's queries: a :class:`FeatureSet`, or features of shape (q, D). q may
            differ between processes and may be 0.
        gallery: This process's gallery images, (g, D), with the dtype and device of ``query``.
        query_rows: Index of each query in the whole set, shape (q,). Default: None, which
            concatenates the shards in the order of the ranks.
        gallery_rows: Index of each image in the whole gallery, shape (g,). It determines the
            columns and the order of equal distances. An image that several processes have, for
            example from a sampler that pads, counts once. Default: None, as for ``query_rows``.
        k1: As in :func:`reid_ext.rerank` with method ``"k_reciprocal"``. Default: 20.
        k2: As in :func:`reid_ext.rerank`. Default: 6.
        lambda_value: Weight of the original distance, in [0, 1]. Default: 0.3.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"`` (default).
        top: Number of nearest gallery images to keep per query. Default: None, which returns all
            distances.
        gathered: Whether every process returns the rows of all queries, in the order of the whole
            set. Default: False.
        group: Process group. Default: None, the default group.

    Returns:
        Distances of shape (q, G) for the G images of the whole gallery, or ``distances`` and
        ``indices`` of shape (q, top). With ``gathered``, the shapes are (Q, G) and (Q, top). The
        result is bit-identical to that of one process with as many threads on the same kind of
        processor or GPU. Working memory is O(N D) for the features plus O(N).

    Raises:
        ArgumentError: If an argument is invalid, as in :func:`reid_ext.rerank`. All processes
            raise.

    Examples:
        >>> import torch
        >>> from reid_ext import distributed
        >>> query = torch.tensor([[1.0, 0.0]])
        >>> gallery = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
        >>> distributed.rerank(query, gallery, k1=2, k2=1, top=2).indices.tolist()
        [[1, 2]]
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
        top = integer(WHERE, "top", top, 1, g.length, "the number of gallery images")
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
    """Return the merged scans of all processes; each process merges some of the images."""
    parts = world_size(group)
    if parts == 1:
        return scan
    shares = [stretch(len(scan.keys), part, parts) for part in range(parts)]
    mine = shares[rank(group)].stop - shares[rank(group)].start

    def of_mine(x: Tensor) -> tuple[Tensor, ...]:
        return all_to_all([x[s] for s in shares], [mine] * parts, group).split(mine)

    scans = [ops.Scan(*of_one) for of_one in zip(*map(of_mine, scan), strict=True)]
    return ops.Scan(*(gather_rows(part, group) for part in ops.merge_scans(scans)))
