"""Verification: the true positive rate at given false positive rates, over all pairs at once.

A ranking compares the images of one query. A threshold for a whole system compares all pairs. The
threshold of a false positive rate is one of the smallest distances between different identities, so
only that many distances are kept while the pairs are processed.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, Array, Gallery, described, finite
from reid_ext._runtime.precision import precision
from reid_ext.evaluation._engine.distances import distance_blocks
from reid_ext.evaluation._engine.inputs import read_features
from reid_ext.evaluation._engine.pairs import Matches, Rule, Rules, query_of
from reid_ext.evaluation.protocols import Protocol
from reid_ext.evaluation.retrieval import Evaluation, read_sets, side_of
from reid_ext.features import FeatureSet

PAIRS_AT_ONCE = 1 << 22


class Verification(NamedTuple):
    """One point of the ROC per requested false positive rate, float64, each of shape (R,).

    Examples:
        >>> import torch
        >>> from reid_ext.evaluation import verify
        >>> labels = dict(query_ids=[1, 2], gallery_ids=[1, 2], protocol="generic")
        >>> roc = verify(torch.eye(2), torch.eye(2), **labels, false_positive_rates=[0.0])
        >>> roc.positives, roc.negatives, roc.threshold.tolist()
        (2, 2, [1.0])
    """

    false_positive_rate: Tensor  # as requested
    true_positive_rate: Tensor  # share of positive pairs below the threshold
    threshold: Tensor  # a pair is accepted if its distance is smaller
    positives: int  # number of positive pairs
    negatives: int  # number of negative pairs


def verify(
    query: Gallery | FeatureSet,
    gallery: Gallery | FeatureSet,
    *,
    query_ids: Array | None = None,
    gallery_ids: Array | None = None,
    query_cameras: Array | None = None,
    gallery_cameras: Array | None = None,
    protocol: str | Protocol = "market1501",
    junk: Rule | None = None,
    candidates: Rule | None = None,
    metric: str = "cosine",
    false_positive_rates: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1),
) -> Verification:
    """Return the exact true positive rate at each false positive rate (TPR@FPR).

    The threshold of a rate is the largest one that accepts at most that share of the negative
    pairs. At rate 0 it is the smallest distance between different identities. Pairs that the
    protocol, ``junk`` or ``candidates`` leave out are neither positive nor negative.

    Args:
        query: A :class:`FeatureSet`, or features of shape (Q, D), as in :func:`evaluate`.
        gallery: A :class:`FeatureSet`, or features of shape (G, D), as in :func:`evaluate`.
        query_ids: Identities of shape (Q,). Required if ``query`` is not a :class:`FeatureSet`.
        gallery_ids: Identities of shape (G,). Required if ``gallery`` is not a :class:`FeatureSet`.
        query_cameras: Cameras of shape (Q,). Required by all protocols except ``"generic"`` and
            ``"regdb"``.
        gallery_cameras: Cameras of shape (G,), required by the same protocols.
        protocol: As in :func:`evaluate`, except protocols that draw galleries. Default:
            ``"market1501"``.
        junk: Additional pairs to leave out, as in :func:`evaluate`. Default: None.
        candidates: The only pairs to compare, as in :func:`evaluate`. Default: None.
        metric: ``"cosine"`` (default), ``"euclidean"`` or ``"squared_euclidean"``.
        false_positive_rates: Rates in [0, 1). Memory grows with the largest rate: at 0.01, one
            percent of all distances is stored. Default: (1e-4, 1e-3, 1e-2, 1e-1).

    Returns:
        :class:`Verification`.

    Raises:
        ArgumentError: If an argument is invalid, features are not finite, or there is no positive
            or no negative pair.

    Examples:
        >>> import torch
        >>> from reid_ext.evaluation import verify
        >>> query, gallery = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> labels = dict(query_ids=[1, 2], gallery_ids=[1, 2], protocol="generic")
        >>> roc = verify(query, gallery, **labels, false_positive_rates=[0.0, 0.5])
        >>> roc.true_positive_rate.tolist(), roc.threshold.tolist()
        ([0.0, 0.5], [0.0, 1.0])
    """
    function = "verify"
    rates = _read_rates(function, false_positive_rates)
    task = Evaluation.read(
        function,
        protocol=protocol,
        rules=Rules(junk, candidates),
        metric=metric,
        max_rank=1,
        average_precision=None,
        compute="exact",
        rerank=False,
        settings={},
    )
    if task.protocol.draws:
        name = task.protocol.name
        requirement = "have a fixed gallery"
        advice = "use protocol 'generic', or 'dukemtmc-reid' to leave out the query's camera"
        raise ArgumentError(function, "protocol", requirement, repr(name), advice)
    sets = read_sets(
        task, (query, query_ids, query_cameras), (gallery, gallery_ids, gallery_cameras)
    )
    q, g = read_features(function, *sets)
    finite(function, "query", q)
    finite(function, "gallery", g)
    query_side = side_of(function, "query", sets[0], q.device)
    gallery_side = side_of(function, "gallery", sets[1], q.device)
    matches = task.trials(query_side, gallery_side)[0].matches
    g = matches.gallery(g)
    negatives = len(q) * len(g) - len(matches.positives.indices) - len(matches.junk.indices)
    if negatives == 0:
        requirement = "differ from query_ids in at least one pair"
        raise ArgumentError(function, "gallery_ids", requirement, "no negative pair")
    accepted = (rates * negatives).floor()
    accepted += (accepted + 1) / negatives <= rates  # 29 / 100 is 0.29, but 0.29 * 100 < 29
    accepted = accepted.long().clamp(max=negatives - 1)
    with precision("exact"), torch.autocast(q.device.type, enabled=False):
        near, positive = _distances(q, g, matches, task.metric, int(accepted.max()) + 1)
    if not bool(positive.isfinite().all()) or len(near) <= int(accepted.max()):
        got = f"features with too large a norm for {q.dtype}"
        requirement = "have finite distances"
        raise ArgumentError(function, "query and gallery", requirement, got, "normalise them")
    threshold = near.cpu()[accepted]
    below = torch.searchsorted(positive.sort().values.cpu(), threshold)
    return Verification(
        rates, below.double() / len(positive), threshold.double(), len(positive), negatives
    )


def _read_rates(function: str, values: Sequence[float]) -> Tensor:
    try:
        rates = torch.tensor(list(values), dtype=torch.float64, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        rates = torch.empty(0, device="cpu")
    if rates.ndim != 1 or len(rates) == 0 or not bool(((rates >= 0) & (rates < 1)).all()):
        requirement = "be a list of at least one number in [0, 1)"
        raise ArgumentError(function, "false_positive_rates", requirement, described(values))
    return rates


def _distances(
    q: Tensor, g: Tensor, matches: Matches, metric: str, k: int
) -> tuple[Tensor, Tensor]:
    """Return the k smallest distances of negative pairs, ascending, and all positive distances."""
    positive, near = [], q.new_empty(0, dtype=torch.float64 if q.dtype == torch.float64 else None)
    of_positive, of_junk = query_of(matches.positives), query_of(matches.junk)
    limit = math.inf
    for first, d in distance_blocks(q, g, metric, PAIRS_AT_ONCE // len(g)):
        here = _entries(matches.positives.offsets, first, len(d))
        at = of_positive[here] - first, matches.positives.indices[here]
        positive.append(d[at])
        d[at] = torch.inf
        here = _entries(matches.junk.offsets, first, len(d))
        d[of_junk[here] - first, matches.junk.indices[here]] = torch.inf
        near = torch.cat([near.to(d.dtype), d[d < limit]])
        if len(near) > 2 * k:
            near = near.topk(k, largest=False).values
            limit = float(near.max())
    return near.topk(min(k, len(near)), largest=False).values.sort().values, torch.cat(positive)


def _entries(offsets: Tensor, first: int, count: int) -> slice:
    last = min(first + count, len(offsets) - 1)
    return slice(int(offsets[first]), int(offsets[last]))
