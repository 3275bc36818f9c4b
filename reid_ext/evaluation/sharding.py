"""Ranks in a gallery that is divided over processes, for :mod:`reid_ext.distributed`.

Each process counts the nearer images in its shard, and the counts are summed.
"""

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
    """Return the ranking of a gallery that is divided over several processes.

    Most users call :func:`reid_ext.distributed.evaluate` instead.

    Args:
        function: Public function that the user called, for error messages.
        query: All queries.
        columns: Columns of the whole gallery, each int64 of shape (G,), on the device of the
            queries. ``"identities"`` is required.
        gallery: Features of this process's images, shape (g, D).
        places: Rows of these images in the whole gallery, shape (g,), ascending.
        add_up: Function that replaces a tensor, in place, by its sum over all processes.
        protocol: As in :func:`evaluate`. It must have a single gallery for all queries.
        metric: As in :func:`evaluate`.
        max_rank: As in :func:`evaluate`.
        average_precision: As in :func:`evaluate`.
        compute: As in :func:`evaluate`.
        **settings: Settings of the protocol, as in :func:`evaluate`.

    Returns:
        :class:`Ranking` of the whole gallery.

    Raises:
        ArgumentError: If an argument is invalid, as in :func:`evaluate`.

    Examples:
        >>> import torch
        >>> from reid_ext import FeatureSet
        >>> from reid_ext.evaluation import rank_shard
        >>> query = FeatureSet(torch.eye(1, 2), identities=[1])
        >>> ranking = rank_shard(  # one process that holds the whole gallery
        ...     "example", query, {"identities": torch.tensor([1, 2])}, torch.eye(2),
        ...     torch.arange(2), lambda x: None, protocol="generic", metric=None, max_rank=5,
        ...     average_precision=None, compute="exact",
        ... )
        >>> ranking.mAP
        1.0
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
        raise ArgumentError(
            function, "protocol", "have a single gallery for all queries", repr(name)
        )
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
    """Return the ranks of the positives, (P,). Distances are computed where the image is stored."""
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
    # Ties: the number of rows of this shard whose place is before that of the positive.
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
    """Return a mask of the indices that occur in ``places``, and the position of each.

    ``places`` is ascending. Positions of indices that do not occur have no meaning.
    """
    at = torch.searchsorted(places, indices)
    if len(places) == 0:
        return torch.zeros_like(indices, dtype=torch.bool), at
    return places[at.clamp(max=len(places) - 1)] == indices, at
