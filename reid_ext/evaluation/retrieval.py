"""evaluate and evaluate_distances: the protocols with one gallery for all queries."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from reid_ext import ops
from reid_ext.evaluation._engine import inputs, streaming
from reid_ext.evaluation._engine.blocks import Blocks, is_streamed, joined
from reid_ext.evaluation._engine.compute import (
    check_compute,
    distance_blocks,
    op_compute,
    precision,
)
from reid_ext.evaluation._engine.exclusion import Rule, Rules
from reid_ext.evaluation._engine.inputs import METRICS, Array, Gallery
from reid_ext.evaluation._engine.task import Labels, Report, read_task
from reid_ext.evaluation.protocols import CLASSIC, PROTOCOLS, REGDB, SYSU
from reid_ext.evaluation.ranking import Ranking
from reid_ext.evaluation.reranking import rerank as rerank_distances
from reid_ext.evaluation.single_shot import evaluate_single_shot


def evaluate(
    query: Gallery,
    gallery: Gallery,
    *,
    query_ids: Array,
    gallery_ids: Array,
    query_cameras: Array | None = None,
    gallery_cameras: Array | None = None,
    protocol: str = "market1501",
    junk: Rule | None = None,
    candidates: Rule | None = None,
    metric: str = "cosine",
    max_rank: int = 50,
    average_precision: str = "step",
    compute: str = "exact",
    rerank: bool | Mapping[str, Any] = False,
) -> Ranking:
    """Return CMC, mAP and mINP of a gallery ranked by its distance to each query.

    The ranks are those of a stable sort by distance: gallery index breaks ties, NaN comes last.
    Junk is left out before ranking; queries without a match do not count. Neither the (Q, G)
    distances nor a sorted list is ever stored.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16: a tensor on any
            device, an array or nested lists, or blocks as below. They need not be normalised.
        gallery: Features of shape (G, D), dtype and device like ``query``. Or a NumPy memory map,
            or blocks of rows (a list of tensors or arrays, or an object whose ``__iter__`` makes
            them anew): gone through twice, a block at a time, and sent to the device of ``query``.
        query_ids: Identities of shape (Q,), any integer type: tensor, array or list.
        gallery_ids: Identities of shape (G,).
        query_cameras: Cameras of shape (Q,); every protocol but ``"generic"`` needs them.
        gallery_cameras: Cameras of shape (G,).
        protocol: ``"market1501"``, ``"dukemtmc-reid"``, ``"cuhk03-np"``, ``"msmt17"`` or
            ``"veri776"``: gallery images of the query's identity and camera are junk. Market-1501
            also drops gallery identity -1 (copying what stays) and keeps 0, its distractors.
            ``"cuhk03-classic"``: :func:`evaluate_single_shot`, by its expectation, of the whole
            matrix of exact distances; blocks are put together. ``"generic"``: no junk.
        junk: Pairs to leave out as well: a bool mask (Q, G), or a function of :class:`Pairs` that
            returns one for some of the queries, so that no whole mask is needed. With
            ``protocol="generic"`` it is the only junk rule.
        candidates: The only pairs to rank, likewise: a time window, cameras that can be reached.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.
        max_rank: Length of the CMC; beyond the gallery it goes on with its last value.
        average_precision: ``"step"`` (mean of the precision at each match; what most code uses)
            or ``"trapezoid"`` (official code of Market-1501 and VeRi-776).
        compute: ``"exact"``: the ranks of the full-precision distances, found by a product in
            bfloat16 where the processor is faster at it. Approximate: ``"bf16"`` (features rounded
            to bfloat16) and ``"tf32"`` (CUDA only); neither with ``rerank``.

        rerank: Rank by re-ranked distances, a (Q, G) matrix: True, or arguments of
            :func:`reid_ext.rerank` but ``top``, whose metric is then this one. Blocks are put
            together.

    Raises:
        ValueError: an argument that does not fit, by its name; or no query has a match, and why.
    """
    where = "evaluate"
    inputs.check_choice(where, "metric", metric, METRICS)
    if isinstance(protocol, str) and protocol in (SYSU, REGDB):
        other = "evaluate_sysu" if protocol == SYSU else "evaluate_regdb"
        raise ValueError(
            f"{where}: protocol must be of one gallery, got {protocol!r}; call {other}"
        )
    inputs.check_choice(where, "protocol", protocol, (*PROTOCOLS, CLASSIC))
    rules = Rules(junk, candidates)
    labels = Labels(query_ids, gallery_ids, query_cameras, gallery_cameras, protocol, rules)
    report = Report(max_rank, average_precision, metric)
    if not isinstance(rerank, bool | Mapping):
        got = inputs.described(rerank)
        raise ValueError(
            f"{where}: rerank must be True, False or arguments of rerank, such as "
            f"{{'method': 'aqe'}}, got {got}"
        )
    if isinstance(rerank, Mapping) and "top" in rerank:
        got = inputs.described(rerank["top"])
        raise ValueError(f"{where}: rerank must be without top, got {got}; all is ranked")
    query = joined(where, "query", query)
    if protocol == CLASSIC or rerank is not False:
        gallery = joined(where, "gallery", gallery)
    if rerank is not False:
        inputs.check_choice(where, "compute", compute, ("exact",))
        q, g = inputs.read_features(where, query, gallery)
        if protocol == CLASSIC:  # what is wrong with the labels is said before the work
            _check_classic(where, labels)
        else:
            read_task(where, labels, report, (len(q), len(g)), q.device)
        return _reranked(q, g, labels, report, {} if rerank is True else dict(rerank))
    if protocol == CLASSIC:
        inputs.check_choice(where, "compute", compute, ("exact",))
        q, g = inputs.read_features(where, query, gallery)
        with precision(compute), torch.autocast(q.device.type, enabled=False):
            distances = torch.cat([d for _, d in distance_blocks(q, g, metric, len(q))])
        return _classic(where, distances, labels, report)
    in_blocks = is_streamed(query, gallery)
    if in_blocks:
        q = inputs.read_matrix(where, "query", query)
        length = inputs.rows_of(where, gallery, gallery_ids)
        blocks = Blocks(where, gallery, q, length)
    else:
        q, g = inputs.read_features(where, query, gallery)
        length = len(g)
    check_compute(where, compute, q)
    task = read_task(where, labels, report, (len(q), length), q.device)
    lists = task.positives, task.junk
    if in_blocks:
        return task.ranking(streaming.rank_positives(q, blocks, *lists, task.kept, metric, compute))
    g = g if task.kept is None else g[task.kept]
    with precision(compute):
        ranks = ops.rank_positives(q, g, *lists, metric=metric, compute=op_compute(compute))
    return task.ranking(ranks)


def evaluate_distances(
    distances: Array,
    *,
    query_ids: Array,
    gallery_ids: Array,
    query_cameras: Array | None = None,
    gallery_cameras: Array | None = None,
    protocol: str = "market1501",
    junk: Rule | None = None,
    candidates: Rule | None = None,
    metric: str | None = None,
    max_rank: int = 50,
    average_precision: str = "step",
    compute: str = "exact",
) -> Ranking:
    """Return CMC, mAP and mINP of distances computed elsewhere, such as re-ranked ones.

    Args:
        distances: Shape (Q, G), smaller is closer, float32, float64, bfloat16 or float16: a
            tensor on any device, an array or nested lists. NaN ranks last.
        metric: What they are, for the fingerprint alone; None: "given distances".

    The other arguments, the rules and the errors are those of :func:`evaluate`.
    """
    where = "evaluate_distances"
    if metric is not None:
        inputs.check_choice(where, "metric", metric, METRICS)
    inputs.check_choice(where, "protocol", protocol, (*PROTOCOLS, CLASSIC))
    inputs.check_choice(where, "compute", compute, ("exact",))
    d = inputs.read_distances(where, distances)
    rules = Rules(junk, candidates)
    labels = Labels(query_ids, gallery_ids, query_cameras, gallery_cameras, protocol, rules)
    report = Report(max_rank, average_precision, metric or "given distances")
    if protocol == CLASSIC:
        return _classic(where, d, labels, report)
    task = read_task(where, labels, report, (len(d), d.shape[1]), d.device)
    d = d if task.kept is None else d[:, task.kept]
    ranks = ops.rank_positives_from_distances(d, task.positives, task.junk)
    return task.ranking(ranks)


def _reranked(
    query: Tensor, gallery: Tensor, labels: Labels, report: Report, options: dict[str, Any]
) -> Ranking:
    distances = rerank_distances(query, gallery, **{"metric": report.metric, **options})
    ranking = evaluate_distances(
        distances,
        query_ids=labels.query_ids,
        gallery_ids=labels.gallery_ids,
        query_cameras=labels.query_cameras,
        gallery_cameras=labels.gallery_cameras,
        protocol=labels.protocol,
        junk=labels.rules.junk,
        candidates=labels.rules.candidates,
        max_rank=report.max_rank,
        average_precision=report.average_precision,
    )
    return call_reranked(ranking, report.metric, options)


def call_reranked(ranking: Ranking, metric: str, options: Mapping[str, Any]) -> Ranking:
    """A ranking of given distances, whose fingerprint says how they were re-ranked."""
    how = ", ".join(f"{name} {value}" for name, value in options.items())
    what = f"{metric}, re-ranked" + (f" ({how})" if how else "")
    return replace(ranking, protocol=ranking.protocol.replace("given distances", what))


def _check_classic(where: str, labels: Labels) -> None:
    if labels.rules.are_given():
        raise ValueError(
            f"{where}: junk and candidates must be None for protocol {CLASSIC!r}, got a rule"
        )
    if labels.query_cameras is None or labels.gallery_cameras is None:
        raise ValueError(
            f"{where}: query_cameras and gallery_cameras must be given for protocol {CLASSIC!r}, "
            "got None"
        )


def _classic(where: str, distances: Tensor, labels: Labels, report: Report) -> Ranking:
    _check_classic(where, labels)
    return evaluate_single_shot(
        distances,
        query_ids=labels.query_ids,
        gallery_ids=labels.gallery_ids,
        query_cameras=cast(Array, labels.query_cameras),
        gallery_cameras=cast(Array, labels.gallery_cameras),
        metric=report.metric if report.metric in METRICS else None,
        max_rank=report.max_rank,
        average_precision=report.average_precision,
    )
