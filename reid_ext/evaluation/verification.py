"""Verification: how many true pairs are accepted at a rate of false ones, over all pairs at once.

Ranking compares the images of one query; a threshold for a whole system compares all pairs. The
threshold of a false positive rate is one of the smallest distances between different persons, and
only so many of them are kept while the pairs go by.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext.evaluation._engine import inputs
from reid_ext.evaluation._engine.compute import distance_blocks, precision
from reid_ext.evaluation._engine.exclusion import Rules
from reid_ext.evaluation._engine.inputs import METRICS, Array
from reid_ext.evaluation._engine.matches import rows
from reid_ext.evaluation._engine.task import Labels, Report, Task, read_task
from reid_ext.evaluation.protocols import PROTOCOLS

PAIRS_AT_ONCE = 1 << 22


class Verification(NamedTuple):
    """One point of the ROC per asked rate, float64, shape (R,) each, and what they are of."""

    false_positive_rate: Tensor  # as asked for
    true_positive_rate: Tensor  # share of the positive pairs below the threshold
    threshold: Tensor  # a pair is accepted if its distance is smaller
    positives: int
    negatives: int


def verify(
    query: Array,
    gallery: Array,
    *,
    query_ids: Array,
    gallery_ids: Array,
    query_cameras: Array | None = None,
    gallery_cameras: Array | None = None,
    protocol: str = "market1501",
    metric: str = "cosine",
    false_positive_rates: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1),
) -> Verification:
    """Return the true positive rate at each false positive rate (TPR@FPR), exactly.

    The threshold of a rate is the largest that accepts no more than that share of the negative
    pairs; at 0 it is the smallest distance between different persons. The protocol's junk is
    neither positive nor negative.

    Args:
        query: Features of shape (Q, D), as in :func:`evaluate`.
        gallery: Features of shape (G, D).
        query_ids: Identities of shape (Q,).
        gallery_ids: Identities of shape (G,).
        query_cameras: Cameras of shape (Q,); every protocol but ``"generic"`` needs them.
        gallery_cameras: Cameras of shape (G,).
        protocol: As in :func:`evaluate`, but for ``"cuhk03-classic"``.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.
        false_positive_rates: In [0, 1). Memory grows with the largest of them: at 0.01 one in a
            hundred of all distances is held.

    Raises:
        ValueError: an argument that does not fit, by its name; features that are not finite; no
            positive or no negative pair.
    """
    where = "verify"
    inputs.check_choice(where, "metric", metric, METRICS)
    inputs.check_choice(where, "protocol", protocol, tuple(PROTOCOLS))
    rates = _read_rates(where, false_positive_rates)
    q, g = inputs.read_features(where, query, gallery)
    for name, features in (("query", q), ("gallery", g)):
        if not bool(features.isfinite().all()):
            raise ValueError(f"{where}: {name} must be finite, got NaN or infinite features")
    labels = Labels(query_ids, gallery_ids, query_cameras, gallery_cameras, protocol, Rules())
    task = read_task(where, labels, Report(1, "step", metric), (len(q), len(g)), q.device)
    g = g if task.kept is None else g[task.kept]
    negatives = len(q) * len(g) - len(task.positives.indices) - len(task.junk.indices)
    if negatives == 0:
        raise ValueError(f"{where}: gallery_ids must differ from query_ids in some pair, got none")
    accepted = (rates * negatives).floor()
    accepted += (accepted + 1) / negatives <= rates  # 29 of 100 are 0.29, 0.29 * 100 is below 29
    accepted = accepted.long().clamp(max=negatives - 1)
    with precision("exact"), torch.autocast(q.device.type, enabled=False):
        near, positive = _distances(q, g, task, metric, int(accepted.max()) + 1)
    if not bool(positive.isfinite().all()) or len(near) <= int(accepted.max()):
        raise ValueError(
            f"{where}: query and gallery must have finite distances, got features too long for "
            f"{q.dtype}; normalise them"
        )
    threshold = near.cpu()[accepted]
    below = torch.searchsorted(positive.sort().values.cpu(), threshold)
    return Verification(
        rates, below.double() / len(positive), threshold.double(), len(positive), negatives
    )


def _read_rates(where: str, values: Sequence[float]) -> Tensor:
    try:
        rates = torch.tensor(list(values), dtype=torch.float64, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        rates = torch.empty(0, device="cpu")
    if rates.ndim != 1 or len(rates) == 0 or not bool(((rates >= 0) & (rates < 1)).all()):
        raise ValueError(
            f"{where}: false_positive_rates must be a list of numbers in [0, 1), "
            f"got {inputs.described(values)}"
        )
    return rates


def _distances(q: Tensor, g: Tensor, task: Task, metric: str, k: int) -> tuple[Tensor, Tensor]:
    """The k smallest distances of negative pairs, ascending, and those of all positive pairs."""
    positive, near = [], q.new_empty(0, dtype=torch.float64 if q.dtype == torch.float64 else None)
    of_positive, of_junk = rows(task.positives), rows(task.junk)
    limit = math.inf
    for first, d in distance_blocks(q, g, metric, PAIRS_AT_ONCE // len(g)):
        here = _entries(task.positives.offsets, first, len(d))
        at = of_positive[here] - first, task.positives.indices[here]
        positive.append(d[at])
        d[at] = torch.inf
        here = _entries(task.junk.offsets, first, len(d))
        d[of_junk[here] - first, task.junk.indices[here]] = torch.inf
        near = torch.cat([near.to(d.dtype), d[d < limit]])
        if len(near) > 2 * k:
            near = near.topk(k, largest=False).values
            limit = float(near.max())
    return near.topk(min(k, len(near)), largest=False).values.sort().values, torch.cat(positive)


def _entries(offsets: Tensor, first: int, count: int) -> slice:
    last = min(first + count, len(offsets) - 1)
    return slice(int(offsets[first]), int(offsets[last]))
