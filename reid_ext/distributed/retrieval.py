"""CMC, mAP and mINP of queries and a gallery that lie in shards, one per process.

Queries are few: all processes get all of them. The gallery stays where it is. A positive's distance
is computed where the image lies, and each process counts what it has before it; the sums are the
ranks. So 16 bytes per positive and the queries' features travel, whatever the gallery's size.
"""

import torch
from torch import Tensor
from torch import distributed as dist

from reid_ext import ops
from reid_ext.distributed.collectives import Group, is_distributed
from reid_ext.distributed.shards import Shard, check_alike, refused_together
from reid_ext.evaluation._engine import inputs, matches, streaming
from reid_ext.evaluation._engine.blocks import Blocks
from reid_ext.evaluation._engine.compute import check_compute, op_compute, precision
from reid_ext.evaluation._engine.exclusion import Rules
from reid_ext.evaluation._engine.inputs import METRICS, Array
from reid_ext.evaluation._engine.task import Labels, Report, Task, read_task
from reid_ext.evaluation.ranking import Ranking
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
        ValueError: as :func:`reid_ext.evaluate`, in all processes.
    """
    with refused_together(WHERE, group):
        inputs.check_choice(WHERE, "metric", metric, METRICS)
        q = _Labelled("query", query, query_ids, query_cameras, query_rows)
        g = _Labelled("gallery", gallery, gallery_ids, gallery_cameras, gallery_rows)
        check_alike(q, g)
        check_compute(WHERE, compute, query)
    q.join(group)
    g.join(group)
    labels = Labels(q.ids, g.ids, q.cameras, g.cameras, protocol, Rules())
    report = Report(max_rank, average_precision, metric)
    task = read_task(WHERE, labels, report, (q.length, g.length), query.device)
    queries, images = q.all(q.features, group), g.features[g.mine]
    with precision(compute):
        ranks = _ranks(queries, images, g.places, task, metric, compute, group)
    return task.ranking(ranks)


class _Labelled(Shard):
    """Rows of one process with their labels; after :meth:`join` those of the whole set."""

    def __init__(
        self, name: str, features: Tensor, ids: Array, cameras: Array | None, rows: Array | None
    ):
        super().__init__(WHERE, name, features, rows)
        self.ids = self.read("ids", ids)
        self.cameras = None if cameras is None else self.read("cameras", cameras)
        self.given["cameras"] = cameras is not None

    def join(self, group: Group) -> None:
        super().join(group)
        self.ids = self.all(self.ids, group)
        if self.cameras is not None:
            self.cameras = self.all(self.cameras, group)


def _ranks(
    query: Tensor,
    gallery: Tensor,
    places: Tensor,
    task: Task,
    metric: str,
    compute: str,
    group: Group,
) -> Tensor:
    """Ranks of the positives, (P,): the images of this process are at ``places`` of the gallery."""
    if task.kept is not None:
        kept = task.kept[places]
        gallery, places = gallery[kept], (task.kept.cumsum(0) - 1)[places[kept]]
    positives = task.positives
    here, row = _found(positives.indices, places)
    pairs = query, gallery, matches.rows(positives)[here], row[here]
    values = ops.pair_values(*pairs, metric=metric, compute=op_compute(compute))
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
        counts = streaming.counts_before(query, blocks, thresholds, before, listed, metric, compute)
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
