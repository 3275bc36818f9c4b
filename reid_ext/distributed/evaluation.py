"""CMC, mAP and mINP of queries and a gallery that lie in shards, one per process.

Queries are few: all processes get all of them. The gallery stays where it is. A positive's distance
is computed where the image lies, and each process counts what it has before it; the sums are the
ranks. So 16 bytes per positive and the queries' features travel, whatever the gallery's size.
"""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from reid_ext import ops
from reid_ext.distributed.collectives import Group, gather_rows, is_distributed, rank, row_counts
from reid_ext.evaluation import inputs, matches, streaming
from reid_ext.evaluation.blocks import Blocks
from reid_ext.evaluation.compute import Products, products
from reid_ext.evaluation.exclusion import Rules
from reid_ext.evaluation.inputs import METRICS, Array
from reid_ext.evaluation.ranking import Ranking
from reid_ext.evaluation.task import Labels, Report, Task, read_task
from reid_ext.ops import Lists

WHERE = "distributed.evaluate"


def evaluate(
    query: Tensor,
    gallery: Tensor,
    *,
    query_ids: Array,
    gallery_ids: Array,
    query_cameras: Array | None = None,
    gallery_cameras: Array | None = None,
    query_rows: Array | None = None,
    gallery_rows: Array | None = None,
    protocol: str = "market1501",
    metric: str = "cosine",
    max_rank: int = 50,
    average_precision: str = "step",
    compute: str = "exact",
    group: Group = None,
) -> Ranking:
    """Return what :func:`reid_ext.evaluate` returns of all shards together, in every process.

    Args:
        query: This process's queries, features of shape (q, D); q may be 0, and differ.
        gallery: This process's gallery images, (g, D).
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
        ValueError: as :func:`reid_ext.evaluate`, in the process whose argument it is, before
            anything is sent, else in all.
    """
    inputs.check_choice(WHERE, "metric", metric, METRICS)
    q = _Shard("query", query, query_ids, query_cameras, query_rows)
    g = _Shard("gallery", gallery, gallery_ids, gallery_cameras, gallery_rows)
    how = products(WHERE, compute, query)
    queries = q.all_rows(group)
    whole = g.all_labels(group)
    labels = Labels(queries.ids, whole.ids, queries.cameras, whole.cameras, protocol, Rules())
    sizes = len(queries.ids), len(whole.ids)
    report = Report(max_rank, average_precision, metric)
    task = read_task(WHERE, labels, report, sizes, query.device)
    with how.setting():
        ranks = _ranks(
            queries.features, gallery[whole.mine], whole.places, task, metric, how, group
        )
    return task.ranking(ranks)


class _All:
    """Labels of the whole set, in its order, and of this process's rows those that count."""

    features: Tensor  # (n, D), of queries only
    ids: Tensor
    cameras: Tensor | None
    mine: Tensor  # rows of the shard
    places: Tensor  # their places in the whole set, ascending


class _Shard:
    """The rows of one process, checked."""

    def __init__(
        self, name: str, features: Tensor, ids: Array, cameras: Array | None, rows: Array | None
    ):
        if not isinstance(features, Tensor) or features.ndim != 2:
            got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"{WHERE}: {name} must be a tensor of shape (N, D), got {got}")
        self.features = features.detach()

        def read(kind: str, values: Any) -> Tensor:
            given = f"{name}_{kind}"
            return inputs.read_integers(WHERE, given, values, len(features), name, features.device)

        self.ids = read("ids", ids)
        self.cameras = None if cameras is None else read("cameras", cameras)
        self.rows = None if rows is None else read("rows", rows)

    def all_labels(self, group: Group) -> _All:
        out = _All()
        device, n = self.features.device, len(self.features)
        counts = row_counts(n, group, device) if is_distributed(group) else [n]
        first = sum(counts[: rank(group)])
        here = torch.arange(first, first + n, device=device)
        places = gather_rows(here if self.rows is None else self.rows, group)
        order = places.argsort(stable=True)
        once = torch.ones_like(order, dtype=torch.bool)
        once[1:] = places[order][1:] != places[order][:-1]
        order = order[once]
        out.ids = gather_rows(self.ids, group)[order]
        cameras = self.cameras
        out.cameras = None if cameras is None else gather_rows(cameras, group)[order]
        is_mine = (order >= first) & (order < first + n)
        out.mine, out.places = order[is_mine] - first, is_mine.nonzero()[:, 0]
        self.order = order
        return out

    def all_rows(self, group: Group) -> _All:
        out = self.all_labels(group)
        out.features = gather_rows(self.features, group)[self.order]
        return out


def _ranks(
    query: Tensor,
    gallery: Tensor,
    places: Tensor,
    task: Task,
    metric: str,
    how: Products,
    group: Group,
) -> Tensor:
    """Ranks of the positives, (P,): the images of this process are at ``places`` of the gallery."""
    if task.kept is not None:
        kept = task.kept[places]
        gallery, places = gallery[kept], (task.kept.cumsum(0) - 1)[places[kept]]
    query, gallery = how.features(query), how.features(gallery)
    positives = task.positives
    here, row = _found(positives.indices, places)
    values = ops.pair_values(
        query, gallery, matches.rows(positives)[here], row[here], metric=metric
    )
    thresholds = values.new_zeros(len(positives.indices))
    thresholds[here] = values
    _sum(thresholds, group)
    # Rows of the shard stand for their places: so many of them are before that of a positive.
    before = Lists(positives.offsets, torch.searchsorted(places, positives.indices))
    listed = streaming.merged(positives, task.junk)
    in_shard, of_row = _found(listed.indices, places)
    listed = matches.keep(Lists(listed.offsets, of_row), in_shard)
    counts = torch.zeros_like(positives.indices)
    if len(gallery) > 0:
        blocks = Blocks(WHERE, gallery, query, len(gallery))
        counts = streaming.counts_before(query, blocks, thresholds, before, listed, metric, how)
    _sum(counts, group)
    return streaming.ranks_of(counts, thresholds, positives)


def _found(indices: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Which indices are among the ascending places, and at which of them."""
    at = torch.searchsorted(places, indices)
    if len(places) == 0:
        return torch.zeros_like(indices, dtype=torch.bool), at
    return places[at.clamp(max=len(places) - 1)] == indices, at


def _sum(x: Tensor, group: Group) -> None:
    if is_distributed(group):
        dist.all_reduce(x, group=group)
