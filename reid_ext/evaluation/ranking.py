"""CMC, average precision and inverse negative penalty, from the ranks of the true matches alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from reid_ext.evaluation.matches import rows
from reid_ext.ops import Lists

AVERAGE_PRECISIONS = ("step", "trapezoid")


@dataclass(frozen=True, eq=False)
class Ranking:
    """Retrieval metrics as fractions in [0, 1], float64 on the CPU.

    Attributes:
        cmc: Shape (max_rank,); ``cmc[k - 1]`` is the share of queries with a true match among the
            first k. Longer than the gallery: it goes on with its last value.
        mAP: Mean average precision.
        mINP: Mean inverse negative penalty: matches / rank of the last one (Ye et al. 2021, AGW).
        average_precision: Shape (Q,), NaN for a query without a match.
        inverse_negative_penalty: Shape (Q,), NaN for a query without a match.
        first_match: Rank of each query's first match as the CMC counts it, (Q,) float64, NaN for
            a query without one; of a mean over trials empty, each trial has its own.
        num_valid: Queries with a match, the only ones that count in the means.
        protocol: How the numbers were made: junk rule, ties, AP rule, metric, sizes.
        trials: The rankings of which this one is the mean; empty if there was one evaluation only.
    """

    cmc: Tensor
    mAP: float
    mINP: float
    average_precision: Tensor
    inverse_negative_penalty: Tensor
    first_match: Tensor
    num_valid: int
    protocol: str
    trials: list["Ranking"] = field(default_factory=list)

    def rank(self, k: int) -> float:
        """``cmc[k - 1]``; ValueError if k is not in 1..max_rank."""
        if not 1 <= k <= len(self.cmc):
            raise ValueError(f"Ranking.rank: k must be in 1..{len(self.cmc)} (max_rank), got {k}")
        return float(self.cmc[k - 1])

    def to_dict(self) -> dict[str, Any]:
        """All of it as numbers, strings and lists that JSON takes; NaN of a query becomes None."""

        def plain(values: Tensor) -> list[float | None]:
            return [None if math.isnan(value) else value for value in values.tolist()]

        return {
            "protocol": self.protocol,
            "cmc": self.cmc.tolist(),
            "mAP": self.mAP,
            "mINP": self.mINP,
            "num_valid": self.num_valid,
            "average_precision": plain(self.average_precision),
            "inverse_negative_penalty": plain(self.inverse_negative_penalty),
            "trials": [trial.to_dict() for trial in self.trials],
        }

    def __str__(self) -> str:
        columns = [(f"rank-{k}", self.rank(k)) for k in (1, 5, 10, 20) if k <= len(self.cmc)]
        columns += [("mAP", self.mAP), ("mINP", self.mINP)]
        names = "".join(f"{name:>9}" for name, _ in columns)
        values = "".join(f"{100 * value:>8.2f}%" for _, value in columns)
        queries = f"{self.num_valid} of {len(self.average_precision)} queries have a match"
        return f"{names}\n{values}\n{queries}\n{self.protocol}"


def from_ranks(
    ranks: Lists,
    *,
    max_rank: int,
    average_precision: str,
    protocol: str,
    first_ranks: Tensor | None = None,
) -> Ranking:
    """Metrics from the 1-based ranks of each query's true matches.

    Args:
        ranks: CSR lists, ascending within a query; at least one query has a match.
        max_rank: Length of the CMC.
        average_precision: ``"step"``: the mean over the matches of the precision at each.
            ``"trapezoid"``: the mean of that precision and of the one a rank before (1 before
            rank 1), as in Oxford5k's compute_ap and VeRi-776's official code.
        protocol: For :attr:`Ranking.protocol`.
        first_ranks: Shape (Q,): what the CMC takes as the rank of the first match, if not that.
    """
    offsets, rank = ranks.offsets.cpu(), ranks.indices.cpu().double()
    query = rows(Lists(offsets, rank))
    hit = torch.arange(1, len(rank) + 1, dtype=torch.float64) - offsets[query]  # 1, 2, … per query
    precision = hit / rank
    if average_precision == "trapezoid":
        before = (hit - 1) / (rank - 1).clamp(min=1)
        precision = (precision + torch.where(rank == 1, 1.0, before)) / 2

    matches = offsets.diff()
    valid = matches > 0
    ap = precision.new_zeros(len(matches)).index_add_(0, query, precision) / matches  # 0 / 0: NaN
    last = offsets[1:][valid] - 1
    inp = torch.full_like(ap, torch.nan)
    inp[valid] = matches[valid] / rank[last]
    first = rank[offsets[:-1][valid]] if first_ranks is None else first_ranks.cpu()[valid]
    first_match = torch.full_like(ap, torch.nan)
    first_match[valid] = first.double()
    at_rank = torch.bincount(first.long().clamp(max=max_rank + 1), minlength=max_rank + 2)
    return Ranking(
        cmc=at_rank[1 : max_rank + 1].cumsum(0) / valid.sum().double(),
        mAP=float(ap[valid].mean()),
        mINP=float(inp[valid].mean()),
        average_precision=ap,
        inverse_negative_penalty=inp,
        first_match=first_match,
        num_valid=int(valid.sum()),
        protocol=protocol,
    )


def mean(trials: Sequence[Ranking], protocol: str) -> Ranking:
    """The mean of evaluations of the same queries."""
    count = len(trials)
    return Ranking(
        cmc=torch.stack([t.cmc for t in trials]).mean(0),
        mAP=sum(t.mAP for t in trials) / count,
        mINP=sum(t.mINP for t in trials) / count,
        average_precision=torch.stack([t.average_precision for t in trials]).mean(0),
        inverse_negative_penalty=torch.stack([t.inverse_negative_penalty for t in trials]).mean(0),
        first_match=trials[0].first_match.new_empty(0),
        num_valid=trials[0].num_valid,
        protocol=protocol,
        trials=list(trials),
    )
