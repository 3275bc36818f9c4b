"""Re-ID retrieval as a torchmetrics metric: pass batches, get CMC, mAP and mINP.

Requires torchmetrics (``pip install ".[torchmetrics]"``), which gathers the batches of all
processes.
"""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from reid_ext._runtime.arguments import (
    ArgumentError,
    alike,
    choice,
    described,
    integer,
    integers,
    matrix,
)
from reid_ext.evaluation import AVERAGE_PRECISIONS, PROTOCOLS, Ranking, evaluate
from reid_ext.ops import METRICS

WHERE = "ReIDRetrieval"
RANKS = (1, 5, 10, 20)


class ReIDRetrieval(Metric):
    """CMC, mAP and mINP of queries and gallery that arrive in batches, in any order and mixture.

    Args:
        protocol: As in :func:`reid_ext.evaluate`, except protocols that draw galleries. Default:
            ``"market1501"``.
        metric: ``"cosine"`` (default), ``"euclidean"`` or ``"squared_euclidean"``.
        max_rank: Length of the CMC, at least 20. Default: 50.
        average_precision: ``"step"`` (default) or ``"trapezoid"``.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    ``compute`` returns ``rank1``, ``rank5``, ``rank10``, ``rank20``, ``mAP`` and ``mINP``, float64
    scalars in [0, 1], the same on every process. Afterwards :attr:`ranking` is the complete
    :class:`Ranking`. Features keep their dtype and device.

    Examples:
        >>> import torch
        >>> from reid_ext.compat.torchmetrics import ReIDRetrieval
        >>> metric = ReIDRetrieval()
        >>> ids = torch.tensor([1, 2])
        >>> metric.update(torch.eye(2), ids, torch.tensor([1, 1]), is_query=True)
        >>> metric.update(torch.eye(2), ids, torch.tensor([2, 2]), is_query=False)
        >>> float(metric.compute()["mAP"])
        1.0
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    features: list[Tensor]
    labels: list[Tensor]

    def __init__(
        self,
        protocol: str = "market1501",
        metric: str = "cosine",
        max_rank: int = 50,
        average_precision: str = "step",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        one_gallery = [name for name, p in PROTOCOLS.items() if not p.draws]
        choice(WHERE, "protocol", protocol, one_gallery)
        choice(WHERE, "metric", metric, METRICS)
        choice(WHERE, "average_precision", average_precision, AVERAGE_PRECISIONS)
        max_rank = integer(WHERE, "max_rank", max_rank, max(RANKS))
        self.options: dict[str, Any] = {
            "protocol": protocol,
            "metric": metric,
            "max_rank": max_rank,
            "average_precision": average_precision,
        }
        self.ranking: Ranking | None = None
        self.add_state("features", default=[], dist_reduce_fx="cat")
        self.add_state("labels", default=[], dist_reduce_fx="cat")

    def update(
        self,
        features: Tensor,
        identities: Tensor,
        cameras: Tensor,
        is_query: Tensor | bool,
        indices: Tensor | None = None,
    ) -> None:
        """Add a batch.

        Args:
            features: Shape (N, D).
            identities: Integers of shape (N,).
            cameras: Integers of shape (N,).
            is_query: One bool for the whole batch, or a bool tensor of shape (N,).
            indices: Index of each image in its set, shape (N,). An image that a distributed sampler
                returns twice then counts once, and equal distances are ordered by index. Default:
                None, which counts every image in order of arrival.
        """
        x = matrix(WHERE, "features", features)
        for before in self.features[:1]:
            alike(WHERE, "features", x, "the batches before", before)
        columns = [
            integers(WHERE, name, values, len(x), "features", x.device)
            for name, values in (
                ("identities", identities),
                ("cameras", cameras),
                ("is_query", _flags(is_query, len(x))),
                ("indices", [-1] * len(x) if indices is None else indices),
            )
        ]
        self.features.append(x)
        self.labels.append(torch.stack(columns, 1))

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics of all batches so far; ValueError if no query has a match."""
        if not len(self.features):
            raise ArgumentError(WHERE, "update", "be called before compute", "no batch")
        features, labels = dim_zero_cat(self.features), dim_zero_cat(self.labels)
        (query, query_labels), (gallery, gallery_labels) = (
            _of_set(features, labels, is_query) for is_query in (1, 0)
        )
        self.ranking = evaluate(
            query,
            gallery,
            query_ids=query_labels[:, 0],
            gallery_ids=gallery_labels[:, 0],
            query_cameras=query_labels[:, 1],
            gallery_cameras=gallery_labels[:, 1],
            **self.options,
        )
        values = {f"rank{k}": self.ranking.rank(k) for k in RANKS}
        values |= {"mAP": self.ranking.mAP, "mINP": self.ranking.mINP}
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}

    def reset(self) -> None:
        """Remove all batches."""
        super().reset()
        self.ranking = None


def _flags(is_query: Tensor | bool, n: int) -> Tensor:
    """Return 0 or 1 for each of n images, from one bool or from a bool tensor."""
    if isinstance(is_query, bool):
        return torch.full((n,), int(is_query), device="cpu")
    if isinstance(is_query, Tensor) and is_query.dtype == torch.bool:
        return is_query.long().expand(n) if is_query.ndim == 0 else is_query.long()
    requirement = f"be a bool, or a bool tensor of shape ({n},)"
    raise ArgumentError(WHERE, "is_query", requirement, described(is_query))


def _of_set(features: Tensor, labels: Tensor, is_query: int) -> tuple[Tensor, Tensor]:
    """Return the rows of the queries or of the gallery, each index once, sorted by index."""
    rows = (labels[:, 2] == is_query).nonzero()[:, 0]
    index = labels[rows, 3]
    order = index.argsort(stable=True)
    rows, index = rows[order], index[order]
    first = torch.ones_like(index, dtype=torch.bool)
    first[1:] = (index[1:] != index[:-1]) | (index[1:] < 0)
    return features[rows[first]], labels[rows[first]]
