"""Ranked lists: the order that an evaluation scored, image by image, for figures and reports."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, Array, integer, integers
from reid_ext.evaluation._engine import distances as formula
from reid_ext.evaluation._engine.pairs import Rule, Rules, query_of
from reid_ext.evaluation.protocols import Protocol, Trial
from reid_ext.evaluation.reranking import rerank_by
from reid_ext.evaluation.retrieval import Evaluation, Trialled, read_sets, side_of
from reid_ext.features import FeatureSet


class RankedLists(NamedTuple):
    """The first gallery images of some queries, n queries and k images.

    Where a query has fewer images, rows are -1, distances NaN, and both flags False.
    """

    query: Tensor  # (n,) int64 rows of the query set
    gallery: Tensor  # (n, k) int64 rows of the gallery set, nearest first
    distances: Tensor  # (n, k)
    matches: Tensor  # (n, k) bool: the image counts as a match
    junk: Tensor  # (n, k) bool: the image is left out of the ranking


def ranked_lists(
    query: FeatureSet,
    gallery: FeatureSet | None = None,
    *,
    queries: Array,
    length: int = 10,
    with_junk: bool = False,
    protocol: str | Protocol = "market1501",
    junk: Rule | None = None,
    candidates: Rule | None = None,
    metric: str | None = None,
    rerank: bool | Mapping[str, Any] = False,
    distances: Tensor | None = None,
    **settings: Any,
) -> RankedLists:
    """Return the first gallery images of some queries, in the order that :func:`evaluate` scores.

    Of a protocol with several trials the lists are those of the first.

    Args:
        query: The queries.
        gallery: The gallery; None for protocols that draw their galleries from the queries.
        queries: Which queries, as positions among those of the (first) trial.
        length: Images per query.
        with_junk: Whether to list what is left out as well, in its place.
        distances: Re-ranked distances (Q, G) of the trial, if they are known already.

    The other arguments and the errors are those of :func:`evaluate`.
    """
    function = "ranked_lists"
    task = _read(function, protocol, Rules(junk, candidates), metric, rerank, settings)
    q_set, g_set = read_sets(task, (query, None, None), (gallery, None, None))
    q, g = q_set.tensor(), g_set.tensor()
    one = _first_trial(task, q_set, g_set, q.device)
    chosen = integers(function, "queries", queries, device=torch.device("cpu"))
    if chosen.ndim != 1 or bool(((chosen < 0) | (chosen >= one.query.rows)).any()):
        requirement = f"be positions of queries from 0 to {one.query.rows - 1}"
        raise ArgumentError(function, "queries", requirement, str(chosen.tolist()[:8]))
    length = integer(function, "length", length, 1)
    q, g = _rows(q, one.trial.query), _rows(g, one.trial.gallery)
    if distances is None:
        d = _distances(task, q, g, chosen.to(q.device))
    else:
        d = distances[chosen.to(distances.device)]
    out, match = _relations(one, chosen, d)
    order = (d if with_junk else d.masked_fill(out, torch.inf)).argsort(dim=1, stable=True)
    if not with_junk:  # what is left out comes behind all that is ranked, NaN included
        order = order.gather(1, out.gather(1, order).int().argsort(dim=1, stable=True))
    order = order[:, :length]
    shown = torch.ones_like(order, dtype=torch.bool) if with_junk else ~out.gather(1, order)
    in_gallery = order if one.trial.gallery is None else one.trial.gallery.to(order.device)[order]
    in_query = chosen if one.trial.query is None else one.trial.query[chosen]
    return RankedLists(
        in_query,
        torch.where(shown, in_gallery, -1).cpu(),
        torch.where(shown, d.gather(1, order), torch.nan).cpu(),
        (match.gather(1, order) & shown).cpu(),
        (out.gather(1, order) & shown).cpu(),
    )


def trials(
    query: FeatureSet,
    gallery: FeatureSet | None = None,
    *,
    protocol: str | Protocol = "market1501",
    **settings: Any,
) -> list[Trial]:
    """Return the rows of queries and gallery that :func:`evaluate` takes in each trial.

    A :class:`Trial` has ``query`` and ``gallery``, int64 row numbers, or None for all rows.

    Raises:
        ArgumentError: as :func:`evaluate`.
    """
    task = _read("trials", protocol, Rules(), None, False, settings)
    q_set, g_set = read_sets(task, (query, None, None), (gallery, None, None))
    cpu = torch.device("cpu")
    sides = side_of("trials", "query", q_set, cpu), side_of("trials", "gallery", g_set, cpu)
    return [one.trial for one in task.trials(*sides)]


def left_out(
    query: FeatureSet,
    gallery: FeatureSet,
    *,
    protocol: str | Protocol = "market1501",
    junk: Rule | None = None,
    candidates: Rule | None = None,
    **settings: Any,
) -> Tensor:
    """Return which pairs :func:`evaluate` leaves out as junk, (Q, G) bool on the CPU.

    Of a protocol with several trials, the sets are those of one trial and no gallery is drawn.

    Raises:
        ArgumentError: as :func:`evaluate`; a set without rows is allowed.
    """
    function = "left_out"
    task = _read(function, protocol, Rules(junk, candidates), None, False, settings)
    cpu = torch.device("cpu")
    q, g = (
        task.protocol.prepare(side_of(function, name, features, cpu), task.settings)
        for name, features in (("query", query), ("gallery", gallery))
    )
    return task.protocol.left_out(q, g, task.rules)


def _read(
    function: str,
    protocol: str | Protocol,
    rules: Rules,
    metric: str | None,
    rerank: bool | Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Evaluation:
    return Evaluation.read(
        function,
        protocol=protocol,
        rules=rules,
        metric=metric,
        max_rank=1,
        average_precision=None,
        compute="exact",
        rerank=rerank,
        settings=settings,
    )


def _first_trial(
    task: Evaluation, query: FeatureSet, gallery: FeatureSet, device: torch.device
) -> Trialled:
    sides = [
        side_of(task.function, name, features, device)
        for name, features in (("query", query), ("gallery", gallery))
    ]
    return task.trials(*sides)[0]


def _distances(task: Evaluation, q: Tensor, g: Tensor, chosen: Tensor) -> Tensor:
    """(n, G) of the chosen queries."""
    if task.rerank is None:
        return formula.distances(q[chosen], g, task.metric)
    return rerank_by(task.function, q, g, task.metric, task.rerank)[chosen]


def _relations(one: Trialled, chosen: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Which images are left out, and which match, (n, G) bool, in the order of the gallery."""
    m = one.matches
    out = torch.zeros_like(d, dtype=torch.bool)
    match = torch.zeros_like(out)
    rows = torch.arange(one.gallery.rows, device=d.device)
    kept = rows if m.kept is None else rows[m.kept.to(d.device)]
    for mask, lists in ((out, m.junk), (match, m.positives)):
        of_query, indices = query_of(lists).to(d.device), lists.indices.to(d.device)
        for n, q in enumerate(chosen.tolist()):
            mask[n, kept[indices[of_query == q]]] = True
    if m.kept is not None:
        out[:, ~m.kept.to(d.device)] = True
    return out, match


def _rows(x: Tensor, rows: Sequence[int] | Tensor | None) -> Tensor:
    return x if rows is None else x[torch.as_tensor(rows, device=x.device)]
