"""Ranked lists: the gallery images of single queries in the order that an evaluation scored."""

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
    """The first k gallery images of n queries.

    If a query has fewer than k images, the remaining entries have row -1, distance NaN, and both
    flags False.

    Examples:
        >>> import torch
        >>> from reid_ext import FeatureSet
        >>> from reid_ext.evaluation import ranked_lists
        >>> query = FeatureSet(torch.eye(2), identities=[1, 2])
        >>> gallery = FeatureSet(torch.eye(2), identities=[1, 1])
        >>> lists = ranked_lists(query, gallery, queries=[0], length=2, protocol="generic")
        >>> lists.matches.tolist(), lists.junk.tolist()
        ([[True, True]], [[False, False]])
    """

    query: Tensor  # (n,) int64 rows of the query set
    gallery: Tensor  # (n, k) int64 rows of the gallery set, nearest first
    distances: Tensor  # (n, k)
    matches: Tensor  # (n, k) bool, True for a match
    junk: Tensor  # (n, k) bool, True if the ranking leaves the image out


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
    """Return the first gallery images of selected queries in the order of :func:`evaluate`.

    For a protocol with several trials, the lists are those of the first trial.

    Args:
        query: The queries.
        gallery: The gallery. None for protocols that draw their galleries from the queries.
        queries: Indices of the selected queries among those of the (first) trial, shape (n,).
        length: Number of images per query, at least 1. Default: 10.
        with_junk: Whether to list junk images too, at the place of their distance. Default: False.
        protocol: As in :func:`evaluate`.
        junk: As in :func:`evaluate`.
        candidates: As in :func:`evaluate`.
        metric: As in :func:`evaluate`.
        rerank: As in :func:`evaluate`.
        distances: Re-ranked distances of the trial, shape (Q, G), if they are already known.
            Default: None, which computes the distances.
        **settings: Settings of the protocol, as in :func:`evaluate`.

    Returns:
        :class:`RankedLists`.

    Raises:
        ArgumentError: If an argument is invalid, as in :func:`evaluate`.

    Examples:
        >>> import torch
        >>> from reid_ext import FeatureSet
        >>> from reid_ext.evaluation import ranked_lists
        >>> query = FeatureSet(torch.tensor([[1.0, 0.0]]), identities=[7], cameras=[1])
        >>> rows = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> gallery = FeatureSet(rows, identities=[7, 8, 7], cameras=[2, 2, 2])
        >>> lists = ranked_lists(query, gallery, queries=[0], length=3)
        >>> lists.gallery.tolist(), lists.matches.tolist()
        ([[1, 2, 0]], [[False, True, True]])
    """
    function = "ranked_lists"
    task = _read(function, protocol, Rules(junk, candidates), metric, rerank, settings)
    q_set, g_set = read_sets(task, (query, None, None), (gallery, None, None))
    q, g = q_set.tensor(), g_set.tensor()
    one = _first_trial(task, q_set, g_set, q.device)
    chosen = integers(function, "queries", queries, device=torch.device("cpu"))
    if chosen.ndim != 1 or bool(((chosen < 0) | (chosen >= one.query.rows)).any()):
        requirement = f"contain query indices from 0 to {one.query.rows - 1}"
        raise ArgumentError(function, "queries", requirement, str(chosen.tolist()[:8]))
    length = integer(function, "length", length, 1)
    q, g = _rows(q, one.trial.query), _rows(g, one.trial.gallery)
    if distances is None:
        d = _distances(task, q, g, chosen.to(q.device))
    else:
        d = distances[chosen.to(distances.device)]
    out, match = _relations(one, chosen, d)
    order = (d if with_junk else d.masked_fill(out, torch.inf)).argsort(dim=1, stable=True)
    if not with_junk:  # junk goes behind all ranked images, even those with distance NaN
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
    """Return the rows of queries and gallery that :func:`evaluate` uses in each trial.

    Args:
        query: The queries.
        gallery: The gallery. None for protocols that draw their galleries from the queries.
        protocol: As in :func:`evaluate`.
        **settings: Settings of the protocol, as in :func:`evaluate`.

    Returns:
        One :class:`Trial` per trial. Its ``query`` and ``gallery`` are int64 row numbers, or None
        for all rows.

    Raises:
        ArgumentError: If an argument is invalid, as in :func:`evaluate`.

    Examples:
        >>> import torch
        >>> from reid_ext import FeatureSet
        >>> from reid_ext.evaluation import trials
        >>> vehicles = FeatureSet(torch.eye(4), identities=[1, 1, 2, 2])
        >>> found = trials(vehicles, protocol="vehicleid", trials=3)
        >>> len(found), len(found[0].query), len(found[0].gallery)
        (3, 2, 2)
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
    """Return which pairs :func:`evaluate` leaves out as junk.

    For a protocol with several trials, pass the query and gallery sets of one trial: this function
    draws no gallery.

    Args:
        query: The queries. A set without rows is allowed here.
        gallery: The gallery. A set without rows is allowed here.
        protocol: As in :func:`evaluate`.
        junk: As in :func:`evaluate`.
        candidates: As in :func:`evaluate`.
        **settings: Settings of the protocol, as in :func:`evaluate`.

    Returns:
        Bool tensor of shape (Q, G) on the CPU, True for pairs that are left out.

    Raises:
        ArgumentError: If an argument is invalid, as in :func:`evaluate`.

    Examples:
        >>> import torch
        >>> from reid_ext import FeatureSet
        >>> from reid_ext.evaluation import left_out
        >>> query = FeatureSet(torch.eye(1, 2), identities=[1], cameras=[1])
        >>> gallery = FeatureSet(torch.ones(3, 2), identities=[1, 1, 2], cameras=[1, 2, 1])
        >>> left_out(query, gallery, protocol="market1501").tolist()
        [[True, False, False]]
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
    """Distances (n, G) of the chosen queries."""
    if task.rerank is None:
        return formula.distances(q[chosen], g, task.metric)
    return rerank_by(task.function, q, g, task.metric, task.rerank)[chosen]


def _relations(one: Trialled, chosen: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Which images are left out and which match, each (n, G) bool, in the order of the gallery."""
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
