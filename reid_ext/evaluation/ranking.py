"""Ranking: CMC, average precision and inverse negative penalty, and how they were made."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, described, flag, integer
from reid_ext.evaluation._engine.pairs import Unmatched, query_of
from reid_ext.evaluation.findings import Finding, merged
from reid_ext.ops import Lists

AVERAGE_PRECISIONS = ("step", "trapezoid")
ALL_MATCHED = Unmatched()
NO_RANKS = Lists(*(torch.zeros(n, dtype=torch.int64, device="cpu") for n in (1, 0)))
TIES = "ties by gallery index, NaN last"


@dataclass(frozen=True)
class Provenance:
    """How a ranking was made. ``str()`` is a line to print, :meth:`to_dict` is for JSON.

    Attributes:
        protocol: Name of the protocol.
        settings: Its settings, such as ``mode`` and ``shots`` of SYSU-MM01.
        junk: The rules by which pairs were left out, in words.
        cmc: What the CMC counts: ``"images"``, or identities by their nearest image.
        average_precision: ``"step"`` or ``"trapezoid"``.
        metric: The distance, or ``"given distances"``.
        rerank: The arguments of the re-ranking; None: the distances were used as they are.
        compute: ``"exact"``, ``"bf16"`` or ``"tf32"``.
        dtype: Of the features or distances.
        queries: How many there were.
        gallery: Gallery images ranked, the fewest of all trials.
        ignored: Gallery images left out for every query.
        trials: Of how many evaluations this is the mean.
    """

    protocol: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    junk: tuple[str, ...] = ()
    cmc: str = "images"
    average_precision: str = "step"
    metric: str = "cosine"
    rerank: Mapping[str, Any] | None = None
    compute: str = "exact"
    dtype: str = "float32"
    queries: int = 0
    gallery: int = 0
    ignored: int = 0
    trials: int = 1

    def __str__(self) -> str:
        parts = [f"junk {', '.join(self.junk) or 'none'}", TIES]
        if self.cmc != "images":
            parts.append(f"CMC {self.cmc}")
        parts += [f"AP {self.average_precision}", self._distance()]
        ignored = f" ({self.ignored} ignored)" if self.ignored else ""
        parts.append(f"{self.queries} queries x {self.gallery} gallery images{ignored}")
        if self.trials > 1:
            parts.append(f"mean of {self.trials} trials")
        return f"{self.protocol}{_listed(self.settings)}: {'; '.join(parts)}"

    def _distance(self) -> str:
        words = self.metric if self.compute == "exact" else f"{self.metric} in {self.compute}"
        return words if self.rerank is None else f"{words}, re-ranked{_listed(self.rerank)}"

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON takes them, and ``text``, the printed line."""
        return {**asdict(self), "junk": list(self.junk), "ties": TIES, "text": str(self)}


def _listed(values: Mapping[str, Any]) -> str:
    words = ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
    return f" ({words})" if words else ""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Retrieval metrics as fractions in [0, 1], float64 on the CPU.

    Attributes:
        cmc: Shape (max_rank,); ``cmc[k - 1]`` is the share of queries with a true match among the
            first k. Beyond the length of the gallery it repeats its last value.
        mAP: Mean average precision.
        mINP: Mean inverse negative penalty: matches / rank of the last one (Ye et al. 2021, AGW).
        average_precision: Shape (Q,), NaN for a query without a match.
        inverse_negative_penalty: Shape (Q,), NaN for a query without a match.
        first_match: Rank of each query's first match as the CMC counts it, (Q,) float64, NaN for
            a query without one; empty for a mean over trials of the same queries.
        match_ranks: Ranks of every query's matches, ascending, on the CPU; empty for a mean over
            trials.
        num_valid: Queries with a match, the only ones that count in the means.
        unmatched: Why the others have none: :class:`Unmatched`.
        protocol: How the numbers were made: :class:`Provenance`.
        trials: The rankings of which this one is the mean; empty for a single evaluation.
        findings: Signs that the numbers do not mean what they should: :class:`Finding`.
    """

    cmc: Tensor
    mAP: float
    mINP: float
    average_precision: Tensor
    inverse_negative_penalty: Tensor
    first_match: Tensor
    match_ranks: Lists
    num_valid: int
    protocol: Provenance
    unmatched: Unmatched = ALL_MATCHED
    trials: list["Ranking"] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()

    def with_findings(self, more: Sequence[Finding]) -> "Ranking":
        """The same ranking with further findings, each code once."""
        return replace(self, findings=merged([*self.findings, *more]))

    def rank(self, k: int) -> float:
        """``cmc[k - 1]``; raises ArgumentError if k is not in 1..max_rank."""
        return float(self.cmc[integer("Ranking.rank", "k", k, 1, len(self.cmc), "max_rank") - 1])

    def mAP_at(self, k: int | None = None) -> float:
        """Mean over the queries with a match of AP@k, which looks at the first k images only.

        AP@k is the sum of the precision at each match within the first k, over min(k, matches).
        Without ``k`` it is each query's number of matches: MAP@R (Musgrave et al. 2020).
        """
        if k is not None:
            k = integer("Ranking.mAP_at", "k", k, 1)
        if self.trials:
            return sum(trial.mAP_at(k) for trial in self.trials) / len(self.trials)
        offsets, rank = self.match_ranks.offsets, self.match_ranks.indices
        query, matches = query_of(self.match_ranks), offsets.diff()
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
            "protocol": self.protocol.to_dict(),
            "cmc": self.cmc.tolist(),
            "mAP": self.mAP,
            "mINP": self.mINP,
            "num_valid": self.num_valid,
            "unmatched": self.unmatched._asdict(),
            "average_precision": plain(self.average_precision),
            "inverse_negative_penalty": plain(self.inverse_negative_penalty),
            "trials": [trial.to_dict() for trial in self.trials],
            "findings": [finding._asdict() for finding in self.findings],
        }

    def __str__(self) -> str:
        columns = [(f"rank-{k}", self.rank(k)) for k in (1, 5, 10, 20) if k <= len(self.cmc)]
        columns += [("mAP", self.mAP), ("mINP", self.mINP)]
        names = "".join(f"{name:>9}" for name, _ in columns)
        values = "".join(f"{100 * value:>8.2f}%" for _, value in columns)
        queries = f"{self.num_valid} of {len(self.average_precision)} queries have a match"
        if any(self.unmatched):
            queries += f"; {self.unmatched}"
        return "\n".join([names, values, queries, str(self.protocol), *map(str, self.findings)])


def from_ranks(
    ranks: Lists,
    provenance: Provenance,
    max_rank: int,
    *,
    unmatched: Unmatched = ALL_MATCHED,
    first_ranks: Tensor | None = None,
    cmc: Tensor | None = None,
    findings: Sequence[Finding] = (),
) -> Ranking:
    """Metrics from the 1-based ranks of each query's true matches.

    ``provenance.average_precision`` chooses between ``"step"``, the mean over the matches of the
    precision at each, and ``"trapezoid"``, the mean of that precision and of the one a rank
    before (1 before rank 1), as in Oxford5k's compute_ap and VeRi-776's official code.

    Args:
        ranks: CSR lists, ascending within a query; at least one query has a match.
        provenance: For :attr:`Ranking.protocol`.
        max_rank: Length of the CMC.
        unmatched: For :attr:`Ranking.unmatched`.
        first_ranks: Shape (Q,): what the CMC takes as the rank of the first match, if not that.
        cmc: Shape (max_rank,): the CMC itself, if it is not made of first matches.
        findings: For :attr:`Ranking.findings`.
    """
    offsets, rank = ranks.offsets.cpu(), ranks.indices.cpu().double()
    query = query_of(Lists(offsets, rank))
    hit = torch.ones_like(rank).cumsum(0) - offsets[query]  # 1, 2, … per query
    precision = hit / rank
    if provenance.average_precision == "trapezoid":
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
    if cmc is None:
        at_rank = torch.bincount(first.long().clamp(max=max_rank + 1), minlength=max_rank + 2)
        cmc = at_rank[1 : max_rank + 1].cumsum(0) / valid.sum().double()
    return Ranking(
        cmc=cmc,
        mAP=float(ap[valid].mean()),
        mINP=float(inp[valid].mean()),
        average_precision=ap,
        inverse_negative_penalty=inp,
        first_match=first_match,
        match_ranks=Lists(offsets, ranks.indices.cpu()),
        num_valid=int(valid.sum()),
        protocol=provenance,
        unmatched=unmatched,
        findings=tuple(findings),
    )


def mean_of_trials(trials: Sequence[Ranking], *, same_queries: bool = False) -> Ranking:
    """Return the mean CMC, mAP and mINP of several evaluations.

    Args:
        trials: One ranking or more, all of one ``max_rank``.
        same_queries: Whether all trials have the same queries, as those of SYSU-MM01; then values
            per query are means over the trials, and otherwise those of all trials one after the
            other, as RegDB's.

    Raises:
        ArgumentError: not a list of rankings, or rankings of different ``max_rank``.
    """
    given = isinstance(trials, list | tuple) and all(isinstance(t, Ranking) for t in trials)
    if not given or not trials:
        requirement = "be a list of one Ranking or more"
        raise ArgumentError("mean_of_trials", "trials", requirement, described(trials))
    same_queries = flag("mean_of_trials", "same_queries", same_queries)
    lengths = sorted({len(trial.cmc) for trial in trials})
    if len(lengths) > 1:
        raise ArgumentError("mean_of_trials", "trials", "have one max_rank", str(lengths))
    count, first = len(trials), trials[0]
    ap, inp, ranks = (
        [getattr(trial, name) for trial in trials]
        for name in ("average_precision", "inverse_negative_penalty", "first_match")
    )
    fewest = min(trial.protocol.gallery for trial in trials)
    settings = {
        name: value
        for name, value in first.protocol.settings.items()
        if all(trial.protocol.settings.get(name) == value for trial in trials)
    }
    return Ranking(
        cmc=torch.stack([t.cmc for t in trials]).mean(0),
        mAP=sum(t.mAP for t in trials) / count,
        mINP=sum(t.mINP for t in trials) / count,
        average_precision=torch.stack(ap).mean(0) if same_queries else torch.cat(ap),
        inverse_negative_penalty=torch.stack(inp).mean(0) if same_queries else torch.cat(inp),
        first_match=ranks[0].new_empty(0) if same_queries else torch.cat(ranks),
        match_ranks=NO_RANKS,
        num_valid=first.num_valid if same_queries else sum(t.num_valid for t in trials),
        protocol=replace(first.protocol, settings=settings, trials=count, gallery=fewest),
        unmatched=first.unmatched if same_queries else _all_unmatched(trials),
        trials=list(trials),
        findings=merged(finding for trial in trials for finding in trial.findings),
    )


def _all_unmatched(trials: Sequence[Ranking]) -> Unmatched:
    return Unmatched(*map(sum, zip(*(trial.unmatched for trial in trials), strict=True)))
