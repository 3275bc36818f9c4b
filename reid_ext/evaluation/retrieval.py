"""evaluate and evaluate_distances: CMC, mAP and mINP with the rules of any protocol."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor

from reid_ext import ops
from reid_ext._runtime import arguments
from reid_ext._runtime import precision as compute
from reid_ext._runtime.arguments import ArgumentError, Array, Gallery
from reid_ext.evaluation._engine import streaming
from reid_ext.evaluation._engine.blocks import Blocks
from reid_ext.evaluation._engine.distances import order_keys
from reid_ext.evaluation._engine.inputs import promoted
from reid_ext.evaluation._engine.pairs import Matches, Rule, Rules, Side
from reid_ext.evaluation.findings import (
    Finding,
    Rows,
    of_distances,
    of_features,
    of_pairs,
    of_ranks,
)
from reid_ext.evaluation.protocols import PROTOCOLS, Protocol, Trial
from reid_ext.evaluation.ranking import (
    AVERAGE_PRECISIONS,
    GIVEN,
    Provenance,
    Ranking,
    from_ranks,
    mean_of_trials,
)
from reid_ext.evaluation.reranking import rerank as rerank_function
from reid_ext.evaluation.reranking import rerank_by
from reid_ext.features import FeatureSet
from reid_ext.ops import METRICS, Lists


def evaluate(
    query: Gallery | FeatureSet,
    gallery: Gallery | FeatureSet | None = None,
    *,
    query_ids: Array | None = None,
    gallery_ids: Array | None = None,
    query_cameras: Array | None = None,
    gallery_cameras: Array | None = None,
    protocol: str | Protocol = "market1501",
    junk: Rule | None = None,
    candidates: Rule | None = None,
    metric: str | None = None,
    max_rank: int = 50,
    average_precision: str | None = None,
    compute: str = "exact",
    rerank: bool | Mapping[str, Any] = False,
    **settings: Any,
) -> Ranking:
    """Return CMC, mAP and mINP of a gallery ranked by its distance to each query.

    Gallery images are ranked by a stable sort: equal distances are ordered by gallery index, and
    NaN comes last. Junk is left out before ranking. Queries without a match do not count. Protocols
    with one gallery and a plain CMC store neither the (Q, G) distances nor a sorted list.

    Args:
        query: A :class:`FeatureSet`, or features of shape (Q, D), float32, float64, bfloat16 or
            float16, as a tensor on any device, an array, nested lists, or blocks as described for
            ``gallery``. Features need not be normalised.
        gallery: A :class:`FeatureSet`, or features of shape (G, D), with the dtype and device of
            ``query``. It may also be a NumPy memory map or blocks of rows: a list of tensors or
            arrays, or an object whose ``__iter__`` starts over at each call. Blocks are read twice,
            one at a time, and copied to the device of ``query``. None for protocols that draw their
            galleries from the queries.
        query_ids: Identities of shape (Q,), any integer dtype, as a tensor, array or list. Required
            if ``query`` is not a :class:`FeatureSet`, and not allowed otherwise. The same holds for
            the next three arguments.
        gallery_ids: Identities of shape (G,).
        query_cameras: Cameras of shape (Q,). Required by all protocols except ``"generic"``,
            ``"regdb"`` and ``"vehicleid"``.
        gallery_cameras: Cameras of shape (G,), required by the same protocols.
        protocol: A name from ``evaluation.PROTOCOLS`` or a :class:`Protocol`. With
            ``"market1501"``, ``"dukemtmc-reid"``, ``"cuhk03-np"``, ``"msmt17"`` and ``"veri776"``,
            gallery images of the query's identity and camera are junk. ``"market1501"`` also
            ignores gallery identity -1 and keeps the distractors, identity 0. ``"generic"`` has no
            junk. ``"sysu-mm01"``, ``"regdb"``, ``"llcm"``, ``"vehicleid"`` and ``"cuhk03-classic"``
            have rules and settings of their own. Default: ``"market1501"``.
        junk: Additional pairs to leave out, as a bool mask of shape (Q, G), or as a function that
            takes :class:`Pairs` and returns the mask of some queries, so that the whole mask is
            never stored. With ``protocol="generic"`` it is the only junk rule. Default: None.
        candidates: The only pairs to rank, in the same form as ``junk``, for example a time window
            or cameras within reach. Default: None, which ranks all pairs.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``. Default: None, which uses
            the metric of the protocol.
        max_rank: Length of the CMC, at least 1. Beyond the length of the gallery the last value is
            repeated. Default: 50.
        average_precision: ``"step"`` (mean of the precision at each match, used by most code) or
            ``"trapezoid"`` (official code of Market-1501 and VeRi-776). Default: None, which uses
            the rule of the protocol.
        compute: ``"exact"`` (default) gives the ranks of the full-precision distances; estimates
            are used only where they find the same ranks faster. ``"bf16"`` (features rounded to
            bfloat16) and ``"tf32"`` (CUDA only) are approximate. They are not available with
            ``rerank`` or with protocols that need the (Q, G) distances.
        rerank: True to rank by re-ranked distances, a (Q, G) matrix, or a mapping of arguments of
            :func:`reid_ext.rerank` other than ``top``. The metric of the re-ranking defaults to
            ``metric``. Blocks of a gallery are joined. Default: False.
        **settings: Settings of the protocol, such as ``mode`` and ``shots`` of ``"sysu-mm01"``.

    Returns:
        :class:`Ranking`. For a protocol with several trials it is their mean, with the ranking of
        each trial in ``trials``.

    Raises:
        ArgumentError: If an argument is invalid or no query has a match. The message gives the
            reason.

    Examples:
        >>> import torch, reid_ext
        >>> features = torch.eye(4)
        >>> ranking = reid_ext.evaluate(
        ...     features[:2], features, query_ids=[1, 2], gallery_ids=[1, 2, 1, 2],
        ...     query_cameras=[1, 1], gallery_cameras=[2, 2, 2, 2],
        ... )
        >>> ranking.rank(1)
        1.0
    """
    function = "evaluate"
    task = Evaluation.read(
        function,
        protocol=protocol,
        rules=Rules(junk, candidates),
        metric=metric,
        max_rank=max_rank,
        average_precision=average_precision,
        compute=compute,
        rerank=rerank,
        settings=settings,
    )
    sets = read_sets(
        task,
        (query, query_ids, query_cameras),
        (gallery, gallery_ids, gallery_cameras),
    )
    return task.rank(*sets)


def evaluate_distances(
    distances: Array,
    query: FeatureSet | None = None,
    gallery: FeatureSet | None = None,
    *,
    query_ids: Array | None = None,
    gallery_ids: Array | None = None,
    query_cameras: Array | None = None,
    gallery_cameras: Array | None = None,
    protocol: str | Protocol = "market1501",
    junk: Rule | None = None,
    candidates: Rule | None = None,
    metric: str | None = None,
    max_rank: int = 50,
    average_precision: str | None = None,
    compute: str = "exact",
    rerank: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Ranking:
    """Return CMC, mAP and mINP of a gallery ranked by given distances.

    The rules are those of :func:`evaluate`.

    Args:
        distances: Shape (Q, G), smaller is closer, float32, float64, bfloat16 or float16, as a
            tensor on any device, an array or nested lists. NaN ranks last.
        query: A :class:`FeatureSet` with the labels of the queries, instead of ``query_ids`` and
            ``query_cameras``. Its features are not used. Default: None.
        gallery: A :class:`FeatureSet` with the labels of the gallery, instead of ``gallery_ids``
            and ``gallery_cameras``. Its features are not used. Default: None.
        query_ids: Identities of shape (Q,). Required if ``query`` is None.
        gallery_ids: Identities of shape (G,). Required if ``gallery`` is None.
        query_cameras: Cameras of shape (Q,), for protocols that need them.
        gallery_cameras: Cameras of shape (G,), for protocols that need them.
        protocol: As in :func:`evaluate`, except protocols that draw queries and gallery from one
            set.
        junk: As in :func:`evaluate`.
        candidates: As in :func:`evaluate`.
        metric: Name of the distance, recorded in the provenance only. Default: None, recorded as
            "given distances".
        max_rank: As in :func:`evaluate`.
        average_precision: As in :func:`evaluate`.
        compute: Only ``"exact"``.
        rerank: Arguments of the re-ranking that made the distances, recorded in the provenance
            only. Default: None.
        **settings: Settings of the protocol, as in :func:`evaluate`.

    Returns:
        :class:`Ranking`, as :func:`evaluate`.

    Raises:
        ArgumentError: If an argument is invalid or no query has a match. The message gives the
            reason.

    Examples:
        >>> import reid_ext
        >>> ranking = reid_ext.evaluate_distances(
        ...     [[0.1, 0.2, 0.3]], query_ids=[1], gallery_ids=[1, 2, 1],
        ...     query_cameras=[1], gallery_cameras=[1, 2, 2],
        ... )
        >>> ranking.rank(1), ranking.rank(2)  # the first image is junk: same identity and camera
        (0.0, 1.0)
    """
    function = "evaluate_distances"
    if metric is not None:
        arguments.choice(function, "metric", metric, METRICS)
    task = Evaluation.read(
        function,
        protocol=protocol,
        rules=Rules(junk, candidates),
        metric=None,
        max_rank=max_rank,
        average_precision=average_precision,
        compute=arguments.choice(function, "compute", compute, ("exact",)),
        rerank=False,
        settings=settings,
    )
    if task.protocol.one_set:
        requirement = "be a protocol with separate queries and gallery"
        raise ArgumentError(function, "protocol", requirement, repr(task.protocol.name))
    d = arguments.matrix(function, "distances", distances)
    given = (query, query_ids, query_cameras), (gallery, gallery_ids, gallery_cameras)
    q, g = (
        _labels(function, name, *labels, rows, d.device)
        for name, labels, rows in zip(("query", "gallery"), given, d.shape, strict=True)
    )
    return task.rank_distances(
        d, q, g, metric or GIVEN, _read_rerank(function, False if rerank is None else rerank)
    )


class Trialled(NamedTuple):
    """One trial: its queries and gallery, and their matches."""

    trial: Trial
    query: Side
    gallery: Side
    matches: Matches


@dataclass(frozen=True)
class Evaluation:
    """The checked arguments of an evaluation, except features and labels."""

    function: str
    protocol: Protocol
    settings: Mapping[str, Any]
    rules: Rules
    metric: str
    max_rank: int
    average_precision: str
    compute: str
    rerank: Mapping[str, Any] | None

    @classmethod
    def read(
        cls,
        function: str,
        *,
        protocol: str | Protocol,
        rules: Rules,
        metric: str | None,
        max_rank: int,
        average_precision: str | None,
        compute: str,
        rerank: bool | Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> "Evaluation":
        """Check the arguments; invalid ones raise ArgumentError."""
        if not isinstance(protocol, Protocol):
            protocol = PROTOCOLS[arguments.choice(function, "protocol", protocol, PROTOCOLS)]
        metric = metric if metric is not None else protocol.metric
        ap = average_precision if average_precision is not None else protocol.average_precision
        read = protocol.read_settings(function, settings)
        options = _read_rerank(function, rerank)
        if options is not None or protocol.needs_keys(read):
            arguments.choice(function, "compute", compute, ("exact",))
        return cls(
            function,
            protocol,
            read,
            rules,
            arguments.choice(function, "metric", metric, METRICS),
            arguments.integer(function, "max_rank", max_rank, 1),
            arguments.choice(function, "average_precision", ap, AVERAGE_PRECISIONS),
            compute,
            options,
        )

    def trials(self, query: Side, gallery: Side) -> list[Trialled]:
        """Return the evaluations to make, with the matches of each."""
        q = self.protocol.prepare(query, self.settings)
        g = q if self.protocol.one_set else self.protocol.prepare(gallery, self.settings)
        found = []
        for trial in self.protocol.trials(q, g, self.settings):
            is_whole = trial.query is None and trial.gallery is None
            if self.rules.given and (not is_whole or self.protocol.needs_keys(self.settings)):
                name = self.protocol.name
                requirement = f"be None for protocol {name!r}"
                raise ArgumentError(self.function, self.rules.given[0], requirement, "a rule")
            sides = q.take(trial.query), g.take(trial.gallery)
            matches = self.protocol.match(*sides, self.settings, self.rules)
            found.append(Trialled(trial, *sides, matches))
        return found

    def rank(self, query: FeatureSet, gallery: FeatureSet) -> Ranking:
        """Return the ranking by features."""
        q = query.tensor()
        needs_matrix = self.rerank is not None or self.protocol.needs_keys(self.settings)
        whole = needs_matrix or self.protocol.draws
        in_blocks = not whole and gallery.is_read_in_blocks(q.device)
        g: Any = gallery.features if in_blocks else gallery.tensor()
        if not in_blocks:
            if q.dtype != g.dtype:
                q, g = promoted(self.function, q, g)
            arguments.alike(self.function, "gallery", g, "query", q)
        compute.check_compute(self.function, self.compute, q)
        trials = self.trials(
            side_of(self.function, "query", query, q.device),
            side_of(self.function, "gallery", gallery, q.device),
        )
        keys = None
        if self.rerank is None and needs_matrix:
            keys = SharedKeys(q, g, self.metric, [t.trial for t in trials])
        of_trials = [None if keys is None else keys(one.trial) for one in trials]
        rankings = [
            self._rank_trial(q, g, one, of_trial, in_blocks)
            for one, of_trial in zip(trials, of_trials, strict=True)
        ]
        if not in_blocks:
            rankings[0] = rankings[0].with_findings(self._of_features(q, g, trials[0]))
        return self._mean(rankings)

    def rank_distances(
        self,
        distances: Tensor,
        query: Side,
        gallery: Side,
        metric: str,
        rerank: Mapping[str, Any] | None,
    ) -> Ranking:
        """Return the ranking by given distances (Q, G)."""
        rankings = []
        for one in self.trials(query, gallery):
            d = distances if one.trial.gallery is None else distances[:, one.trial.gallery]
            provenance = self.provenance(one, metric, distances.dtype, rerank)
            rankings.append(self._of_keys(d, one, provenance))
        rankings[0] = rankings[0].with_findings(of_distances(distances))
        return self._mean(rankings)

    def _rank_trial(
        self, q: Tensor, g: Any, one: Trialled, keys: Tensor | None, in_blocks: bool
    ) -> Ranking:
        provenance = self.provenance(one, self.metric, q.dtype, self.rerank)
        if keys is not None:
            return self._of_keys(keys, one, provenance)
        rows = one.trial
        if rows.query is not None or rows.gallery is not None:
            q, g = _rows(q, rows.query), _rows(g, rows.gallery)
        if self.rerank is not None:
            d = rerank_by(self.function, q, g, self.metric, self.rerank)
            return self._of_keys(d, one, provenance)
        m = one.matches
        if in_blocks:
            blocks = Blocks(self.function, g, q, one.gallery.rows)
            ranks = streaming.rank_positives(
                q, blocks, m.positives, m.junk, m.kept, self.metric, self.compute
            )
        else:
            how = compute.op_compute(self.compute)
            with compute.precision(self.compute):
                ranks = ops.rank_positives(
                    q, m.gallery(g), m.positives, m.junk, metric=self.metric, compute=how
                )
        lists = Lists(m.positives.offsets, ranks)
        found = self._findings(lists, one)
        return from_ranks(lists, provenance, self.max_rank, unmatched=m.unmatched, findings=found)

    def _of_keys(self, keys: Tensor, one: Trialled, provenance: Provenance) -> Ranking:
        m = one.matches
        keys = m.gallery(keys, 1)
        gallery = one.gallery if m.kept is None else one.gallery.take(m.kept.nonzero()[:, 0])
        ranks = ops.rank_positives_from_distances(keys, m.positives, m.junk)
        curve = self.protocol.curve(keys, m, one.query, gallery, self.settings, self.max_rank)
        lists = Lists(m.positives.offsets, ranks)
        return from_ranks(
            lists,
            provenance,
            self.max_rank,
            unmatched=m.unmatched,
            findings=self._findings(lists, one),
            first_ranks=curve.first_ranks,
            cmc=curve.cmc,
        )

    def provenance(
        self,
        one: Trialled,
        metric: str,
        dtype: torch.dtype,
        rerank: Mapping[str, Any] | None,
    ) -> Provenance:
        p = self.protocol
        junk = [p.junk] * bool(p.junk)
        if one.matches.ignored:
            junk.append(f"gallery identity {p.ignored_identity}")
        if self.rules.given:
            junk.append(f"user-supplied {' and '.join(self.rules.given)}")
        return Provenance(
            protocol=p.name,
            settings=p.describe(self.settings, one.query),
            junk=tuple(junk),
            cmc=p.cmc_of(self.settings),
            average_precision=self.average_precision,
            metric=metric,
            rerank=rerank,
            compute=self.compute,
            dtype=str(dtype).removeprefix("torch."),
            queries=one.query.rows,
            gallery=one.gallery.rows - one.matches.ignored,
            ignored=one.matches.ignored,
        )

    def _findings(self, ranks: Lists, one: Trialled) -> list[Finding]:
        m = one.matches
        rule = self.protocol.same, self.protocol.junk
        found = of_pairs(one.query, one.gallery, m, *rule)
        return found + of_ranks(ranks, one.gallery.rows - m.ignored, m.junk)

    def _of_features(self, q: Tensor, g: Tensor, one: Trialled) -> list[Finding]:
        rows, kept = one.trial.gallery, one.matches.kept
        if kept is not None:
            rows = kept.nonzero()[:, 0] if rows is None else rows.to(kept.device)[kept]
        sides = Rows(q, one.trial.query), Rows(g, rows)
        return of_features(*sides, one.matches.positives)

    def _mean(self, rankings: list[Ranking]) -> Ranking:
        if not self.protocol.draws:
            return rankings[0]
        return mean_of_trials(rankings, same_queries=self.protocol.same_queries)


class SharedKeys:
    """The order keys of all trials, computed once for all gallery images that a trial uses."""

    def __init__(self, q: Tensor, g: Tensor, metric: str, trials: list[Trial]) -> None:
        rows = [trial.gallery for trial in trials if trial.gallery is not None]
        self.used = torch.cat(rows).unique() if rows else None
        self.keys = order_keys(q, _rows(g, self.used), metric)

    def __call__(self, trial: Trial) -> Tensor:
        """Return the keys (Q, G) of one trial."""
        if self.used is None or trial.gallery is None:
            return self.keys
        columns = torch.searchsorted(self.used, trial.gallery).to(self.keys.device)
        return self.keys.index_select(1, columns)


Given = tuple[Gallery | FeatureSet | None, Array | None, Array | None]


def read_sets(task: Evaluation, query: Given, gallery: Given) -> tuple[FeatureSet, FeatureSet]:
    """Return both sets, from feature sets or from features and separate labels."""
    q = _read_set(task.function, "query", *query)
    if not task.protocol.one_set:
        if gallery[0] is None:
            requirement = f"be given for protocol {task.protocol.name!r}"
            raise ArgumentError(task.function, "gallery", requirement, "None")
        g = _read_set(task.function, "gallery", *gallery)
        _check_sources(task.function, q, g)
        return q, g
    if any(value is not None for value in gallery):
        requirement = f"be left out for protocol {task.protocol.name!r}"
        got = arguments.described(gallery[0])
        advice = "this protocol draws its galleries from the queries"
        raise ArgumentError(task.function, "gallery", requirement, got, advice)
    return q, q


def _check_sources(function: str, query: FeatureSet, gallery: FeatureSet) -> None:
    """Raise ArgumentError if both sets name their network and preprocessing, and these differ."""
    for name in ("model", "weights", "preprocessing"):
        of_query, of_gallery = query.source.get(name), gallery.source.get(name)
        if of_query is not None and of_gallery is not None and of_query != of_gallery:
            requirement = f"hold features of the same {name} as query ({of_query})"
            raise ArgumentError(function, "gallery", requirement, str(of_gallery))


def _read_set(
    function: str,
    name: str,
    features: Gallery | FeatureSet | None,
    ids: Array | None,
    cameras: Array | None,
) -> FeatureSet:
    labels = {"identities": ids, "cameras": cameras}
    if isinstance(features, FeatureSet):
        _check_left_out(function, name, labels)
        return features
    if name == "query" and isinstance(features, Iterator):  # queries are few, and read once
        features = list(features)
    if ids is None:
        requirement = "be given when the features are not a FeatureSet"
        raise ArgumentError(function, f"{name}_ids", requirement, "None")
    names = {"features": name, **_names(name)}
    return FeatureSet.of_arguments(function, names, features, labels)  # type: ignore[arg-type]


def _names(side: str) -> dict[str, str]:
    """Return the arguments that hold the columns of a side."""
    return {"identities": f"{side}_ids", "cameras": f"{side}_cameras"}


def _check_left_out(function: str, side: str, labels: Mapping[str, Any]) -> None:
    """Raise ArgumentError if labels are given together with a FeatureSet."""
    for column, values in labels.items():
        if values is not None:
            requirement = f"be left out when {side} is a FeatureSet, which has its own columns"
            got = arguments.described(values)
            raise ArgumentError(function, _names(side)[column], requirement, got)


def side_of(function: str, name: str, features: FeatureSet, device: torch.device) -> Side:
    """Return the integer columns of a set, on a device."""
    columns = {
        column: values.to(device)
        for column, values in features.columns.items()
        if isinstance(values, Tensor) and values.dtype == torch.int64
    }
    return Side(function, name, len(features), columns, features.arguments)


def _labels(
    function: str,
    name: str,
    features: FeatureSet | None,
    ids: Array | None,
    cameras: Array | None,
    rows: int,
    device: torch.device,
) -> Side:
    """Return the labels of one side of a matrix of distances."""
    columns, names = {"identities": ids, "cameras": cameras}, _names(name)
    if features is not None:
        if not isinstance(features, FeatureSet) or len(features) != rows:
            requirement = f"be a FeatureSet with {rows} rows like distances"
            got = f"{len(features)} rows" if isinstance(features, FeatureSet) else type(features)
            raise ArgumentError(function, name, requirement, str(got))
        _check_left_out(function, name, columns)
        return side_of(function, name, features, device)
    if ids is None:
        raise ArgumentError(function, names["identities"], "be given", "None")
    given = FeatureSet.of_labels(function, names, columns)
    read = {column: values.to(device) for column, values in given.items()}
    for column, values in read.items():
        if tuple(values.shape) != (rows,):
            part = "row" if name == "query" else "column"
            requirement = f"have shape ({rows},), one for each {part} of distances"
            raise ArgumentError(function, names[column], requirement, str(tuple(values.shape)))
    return Side(function, name, rows, read, names)


def _rows(x: Tensor, rows: Tensor | None) -> Tensor:
    return x if rows is None else x[rows.to(x.device)]


def _read_rerank(function: str, rerank: bool | Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the arguments of the re-ranking, or None without re-ranking."""
    if not isinstance(rerank, bool | Mapping):
        requirement = "be True, False or a mapping of arguments of reid_ext.rerank"
        raise ArgumentError(function, "rerank", requirement, arguments.described(rerank))
    if isinstance(rerank, bool):
        return {} if rerank else None
    allowed = [name for name in signature(rerank_function).parameters if name != "top"][2:]
    if unknown := [str(name) for name in rerank if name not in allowed]:
        requirement = f"contain only {', '.join(allowed)}"
        raise ArgumentError(function, "rerank", requirement, ", ".join(unknown))
    return dict(rerank)
