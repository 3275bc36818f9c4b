"""CMC, average precision and inverse negative penalty, from the ranks of the true matches alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reid_ext.evaluation._engine.inputs import check_at_least, described
from reid_ext.evaluation._engine.matches import rows
from reid_ext.ops import Lists

AVERAGE_PRECISIONS = ("step", "trapezoid")
NO_RANKS = Lists(*(torch.zeros(n, dtype=torch.int64, device="cpu") for n in (1, 0)))


class Unmatched(NamedTuple):
    """Queries without a match, by what took their last one."""

    no_image: int = 0  # the gallery has no image of the identity
    protocol: int = 0  # all of them are junk of the protocol: same camera, or location
    rules: int = 0  # the user's junk and candidates

    def __str__(self) -> str:
        reasons = (
            (self.no_image, "no gallery image of their identity"),
            (self.protocol, "only such that the protocol makes junk"),
            (self.rules, "only such that junk or candidates leave out"),
        )
        return ", ".join(f"{count} have {reason}" for count, reason in reasons if count)


ALL_MATCHED = Unmatched()


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
        match_ranks: Ranks of every query's matches, ascending, on the CPU; of a mean over trials
            empty.
        num_valid: Queries with a match, the only ones that count in the means.
        unmatched: Why the others have none: :class:`Unmatched`.
        protocol: How the numbers were made: junk rule, ties, AP rule, metric, sizes.
        trials: The rankings of which this one is the mean; empty if there was one evaluation only.
    """

    cmc: Tensor
    mAP: float
    mINP: float
    average_precision: Tensor
    inverse_negative_penalty: Tensor
    first_match: Tensor
    match_ranks: Lists
    num_valid: int
    protocol: str
    unmatched: Unmatched = ALL_MATCHED
    trials: list["Ranking"] = field(default_factory=list)

    def rank(self, k: int) -> float:
        """``cmc[k - 1]``; ValueError if k is not in 1..max_rank."""
        is_integer = isinstance(k, int | np.integer) and not isinstance(k, bool)
        if not is_integer or not 1 <= k <= len(self.cmc):
            raise ValueError(
                f"Ranking.rank: k must be in 1..{len(self.cmc)} (max_rank), got {described(k)}"
            )
        return float(self.cmc[k - 1])

    def mAP_at(self, k: int | None = None) -> float:
        """Mean over the queries with a match of AP@k, which looks at the first k images only.

        AP@k is the sum of the precision at each match within the first k, over min(k, matches).
        Without ``k`` it is each query's number of matches: MAP@R (Musgrave et al. 2020).
        """
        if k is not None:
            check_at_least("Ranking.mAP_at", "k", k, 1)
        if self.trials:
            return sum(trial.mAP_at(k) for trial in self.trials) / len(self.trials)
        offsets, rank = self.match_ranks.offsets, self.match_ranks.indices
        query, matches = rows(self.match_ranks), offsets.diff()
        first = matches if k is None else torch.full_like(matches, k)
        hit = torch.arange(1, len(rank) + 1, device=rank.device) - offsets[query]
        precision = (hit / rank.double()).masked_fill(rank > first[query], 0)
        total = precision.new_zeros(len(matches)).index_add_(0, query, precision)
        return float((total / matches.minimum(first))[matches > 0].mean())

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
            "unmatched": self.unmatched._asdict(),
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
        if any(self.unmatched):
            queries += f"; {self.unmatched}"
        return f"{names}\n{values}\n{queries}\n{self.protocol}"


def from_ranks(
    ranks: Lists,
    *,
    max_rank: int,
    average_precision: str,
    protocol: str,
    unmatched: Unmatched = ALL_MATCHED,
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
        unmatched: For :attr:`Ranking.unmatched`.
        first_ranks: Shape (Q,): what the CMC takes as the rank of the first match, if not that.
    """
    offsets, rank = ranks.offsets.cpu(), ranks.indices.cpu().double()
    query = rows(Lists(offsets, rank))
    hit = torch.ones_like(rank).cumsum(0) - offsets[query]  # 1, 2, … per query
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
        match_ranks=Lists(offsets, ranks.indices.cpu()),
        num_valid=int(valid.sum()),
        protocol=protocol,
        unmatched=unmatched,
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
        match_ranks=NO_RANKS,
        num_valid=trials[0].num_valid,
        protocol=protocol,
        unmatched=trials[0].unmatched,
        trials=list(trials),
    )
