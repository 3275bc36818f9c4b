"""Ranks in one shard of a gallery: what :mod:`reid_ext.distributed` adds up over processes."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from reid_ext import ops
from reid_ext._runtime import precision
from reid_ext._runtime.arguments import ArgumentError
from reid_ext.evaluation._engine import streaming
from reid_ext.evaluation._engine.blocks import Blocks
from reid_ext.evaluation._engine.pairs import Matches, Rules, Side, keep, query_of
from reid_ext.evaluation.ranking import Ranking, from_ranks
from reid_ext.evaluation.retrieval import Evaluation, side_of
from reid_ext.features import FeatureSet
from reid_ext.ops import Lists


def rank_shard(
    function: str,
    query: FeatureSet,
    columns: Mapping[str, Tensor],
    gallery: Tensor,
    places: Tensor,
    add_up: Callable[[Tensor], None],
    *,
    protocol: str,
    metric: str | None,
    max_rank: int,
    average_precision: str | None,
    compute: str,
    **settings: Any,
) -> Ranking:
    """Return the ranking of a gallery of which each process has some images.

    Args:
        function: The public function, for errors.
        query: All queries.
        columns: Those of the whole gallery, int64 of shape (G,) each, on the device of the queries.
        gallery: The features of this process's images, (g, D).
        places: Their rows in the whole gallery, (g,), ascending.
        add_up: Replaces a tensor by its sum over the processes.

    The other arguments and the errors are those of :func:`evaluate`.
    """
    task = Evaluation.read(
        function,
        protocol=protocol,
        rules=Rules(),
        metric=metric,
        max_rank=max_rank,
        average_precision=average_precision,
        compute=compute,
        rerank=False,
        settings=settings,
    )
    if task.protocol.draws or task.protocol.needs_keys(task.settings):
        name = task.protocol.name
        raise ArgumentError(function, "protocol", "be one with a single gallery", repr(name))
    q = query.tensor()
    precision.check_compute(function, compute, q)
    names = {"identities": "gallery_ids", "cameras": "gallery_cameras"}
    rows = len(columns["identities"])
    whole = Side(function, "gallery", rows, columns, names)
    one = task.trials(side_of(function, "query", query, q.device), whole)[0]
    ranks = _ranks(function, q, gallery, places, one.matches, task, add_up)
    return from_ranks(
        Lists(one.matches.positives.offsets, ranks),
        task.provenance(one, task.metric, q.dtype, None),
        task.max_rank,
        unmatched=one.matches.unmatched,
    )


def _ranks(
    function: str,
    query: Tensor,
    gallery: Tensor,
    places: Tensor,
    matches: Matches,
    task: Evaluation,
    add_up: Callable[[Tensor], None],
) -> Tensor:
    """Ranks of the positives, (P,): a positive's distance is computed where the image lies."""
    if matches.kept is not None:
        kept = matches.kept[places]
        gallery, places = gallery[kept], (matches.kept.cumsum(0) - 1)[places[kept]]
    positives = matches.positives
    here, row = _found(positives.indices, places)
    pairs = query, gallery, query_of(positives)[here], row[here]
    with precision.precision(task.compute):
        values = ops.pair_values(
            *pairs, metric=task.metric, compute=precision.op_compute(task.compute)
        )
    thresholds = values.new_zeros(len(positives.indices))
    thresholds[here] = values
    add_up(thresholds)
    # Rows of the shard stand for their places: so many of them are before that of a positive.
    before = Lists(positives.offsets, torch.searchsorted(places, positives.indices))
    listed = streaming.merged(positives, matches.junk)
    in_shard, of_row = _found(listed.indices, places)
    listed = keep(Lists(listed.offsets, of_row), in_shard)
    counts = torch.zeros_like(positives.indices)
    if len(gallery) > 0:
        blocks = Blocks(function, gallery, query, len(gallery))
        counts = streaming.counts_before(
            query, blocks, thresholds, before, listed, task.metric, task.compute
        )
    add_up(counts)
    return streaming.ranks_of(counts, thresholds, positives)


def _found(indices: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Which indices are among the ascending places, and at which of them."""
    at = torch.searchsorted(places, indices)
    if len(places) == 0:
        return torch.zeros_like(indices, dtype=torch.bool), at
    return places[at.clamp(max=len(places) - 1)] == indices, at
