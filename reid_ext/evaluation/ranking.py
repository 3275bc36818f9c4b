"""Ranking: CMC, average precision and inverse negative penalty, with their provenance."""

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
GIVEN = "given distances"
TIES = "ties broken by gallery index, NaN last"


@dataclass(frozen=True)
class Provenance:
    r"""How a ranking was made: ``str()`` gives one line to print, :meth:`to_dict` gives JSON.

    Attributes:
        protocol: Name of the protocol.
        settings: Settings of the protocol, such as ``mode`` and ``shots`` of SYSU-MM01.
        junk: Descriptions of the rules by which pairs were left out.
        cmc: What the CMC counts: ``"images"``, or identities by their nearest image.
        average_precision: ``"step"`` or ``"trapezoid"``.
        metric: Name of the distance, or ``"given distances"`` if the caller passed a matrix of
            distances and did not name them.
        rerank: Arguments of the re-ranking. None if the distances were not re-ranked.
        compute: ``"exact"``, ``"bf16"`` or ``"tf32"``.
        dtype: Data type of the features or distances.
        queries: Number of queries.
        gallery: Number of ranked gallery images, the smallest over all trials.
        ignored: Number of gallery images left out for every query.
        trials: Number of evaluations of which the ranking is the mean.

    Examples:
        >>> from reid_ext.evaluation import Provenance
        >>> made = Provenance("generic", queries=2, gallery=5)
        >>> print(str(made).replace("; ", "\n"))  # str() is a single line
        generic: junk none
        ties broken by gallery index, NaN last
        AP step
        cosine
        2 queries x 5 gallery images
        >>> made.to_dict()["metric"]
        'cosine'
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
        if self.rerank is None:
            return words
        by = " by the caller" if self.metric == GIVEN else ""
        return f"{words}, re-ranked{by}{_listed(self.rerank)}"

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON types, and the printed line as ``text``."""
        return {**asdict(self), "junk": list(self.junk), "ties": TIES, "text": str(self)}


def _listed(values: Mapping[str, Any]) -> str:
    words = ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
    return f" ({words})" if words else ""


@dataclass(frozen=True, eq=False, repr=False)
class Ranking:
    """Retrieval metrics as fractions in [0, 1], float64 on the CPU; ``print`` shows a table.

    Attributes:
        cmc: Shape (max_rank,). ``cmc[k - 1]`` is the share of queries with a match among the first
            k images. Beyond the length of the gallery the last value is repeated.
        mAP: Mean average precision.
        mINP: Mean inverse negative penalty: the number of matches over the rank of the last match
            (Ye et al. 2021, AGW).
        average_precision: Shape (Q,), NaN for a query without a match.
        inverse_negative_penalty: Shape (Q,), NaN for a query without a match.
        first_match: Rank of each query's first match as the CMC counts it, shape (Q,), float64, NaN
            for a query without a match. Empty for a mean over trials with the same queries.
        match_ranks: Ranks of all matches of each query in ascending order, as CSR lists on the CPU.
            Empty for a mean over trials.
        num_valid: Number of queries with a match. Only these count in the means.
        unmatched: Number of queries without a match by reason: :class:`Unmatched`.
        protocol: How the ranking was made: :class:`Provenance`.
        trials: Rankings of which this one is the mean. Empty for a single evaluation.
        findings: Signs that the metrics may be meaningless: a tuple of :class:`Finding`.

    Examples:
        >>> from reid_ext.evaluation import evaluate_distances
        >>> ranking = evaluate_distances(
        ...     [[0.1, 0.2, 0.3]], query_ids=[1], gallery_ids=[2, 1, 1], protocol="generic"
        ... )
        >>> ranking.rank(1), ranking.rank(2), round(ranking.mAP, 3), round(ranking.mINP, 3)
        (0.0, 1.0, 0.583, 0.667)
        >>> lines = str(ranking).splitlines()  # print(ranking) shows them all
        >>> lines[0].split()
        ['rank-1', 'rank-5', 'rank-10', 'rank-20', 'mAP', 'mINP']
        >>> lines[2]
        '1 of 1 queries have a match'
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
        """Return ``cmc[k - 1]``.

        Raises:
            ArgumentError: If k is not in 1..max_rank.
        """
        return float(self.cmc[integer("Ranking.rank", "k", k, 1, len(self.cmc), "max_rank") - 1])

    def mAP_at(self, k: int | None = None) -> float:
        """Return mAP@k: the mean of AP@k over the queries with a match.

        AP@k considers the first k images only. It is the sum of the precision at each match among
        them, over min(k, number of matches). If ``k`` is None, each query uses its own number of
        matches, which gives MAP@R (Musgrave et al. 2020).
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

    def to_dict(self, *, per_query: bool = True) -> dict[str, Any]:
        """Return all values as JSON types. NaN values of queries become None.

        Args:
            per_query: Include the values of each query. Default: True.
        """

        def plain(values: Tensor) -> list[float | None]:
            return [None if math.isnan(value) else value for value in values.tolist()]

        of_queries = {
            "average_precision": plain(self.average_precision),
            "inverse_negative_penalty": plain(self.inverse_negative_penalty),
        }
        return {
            "protocol": self.protocol.to_dict(),
            "cmc": self.cmc.tolist(),
            "mAP": self.mAP,
            "mINP": self.mINP,
            "num_valid": self.num_valid,
            "unmatched": self.unmatched._asdict(),
            **(of_queries if per_query else {}),
            "trials": [trial.to_dict(per_query=per_query) for trial in self.trials],
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

    __repr__ = __str__


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
    """Compute the metrics from the 1-based ranks of each query's matches.

    With ``provenance.average_precision`` ``"step"``, AP is the mean of the precision at each match.
    With ``"trapezoid"``, it is the mean of that precision and the precision one rank before (1
    before rank 1), as in compute_ap of Oxford5k and in the official code of VeRi-776.

    Args:
        ranks: CSR lists, ascending within a query. At least one query has a match.
        provenance: For :attr:`Ranking.protocol`.
        max_rank: Length of the CMC.
        unmatched: For :attr:`Ranking.unmatched`.
        first_ranks: Shape (Q,), ranks that the CMC counts instead of the rank of the first match.
        cmc: Shape (max_rank,), the CMC itself if it does not follow from first matches.
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
        trials: Non-empty list of rankings with the same ``max_rank``.
        same_queries: Whether all trials have the same queries, as in SYSU-MM01. If True, values per
            query are means over the trials. If False (default), the values per query of all trials
            are concatenated, as for RegDB.

    Returns:
        :class:`Ranking` with the given rankings in ``trials``.

    Raises:
        ArgumentError: If ``trials`` is not a non-empty list of rankings, or their ``max_rank``
            differs.

    Examples:
        >>> from reid_ext.evaluation import evaluate_distances, mean_of_trials
        >>> labels = dict(query_ids=[1], gallery_ids=[1, 2], protocol="generic")
        >>> first = evaluate_distances([[0.1, 0.2]], **labels)
        >>> second = evaluate_distances([[0.2, 0.1]], **labels)
        >>> mean_of_trials([first, second]).mAP
        0.75
    """
    given = isinstance(trials, list | tuple) and all(isinstance(t, Ranking) for t in trials)
    if not given or not trials:
        requirement = "be a non-empty list of Ranking objects"
        raise ArgumentError("mean_of_trials", "trials", requirement, described(trials))
    same_queries = flag("mean_of_trials", "same_queries", same_queries)
    lengths = sorted({len(trial.cmc) for trial in trials})
    if len(lengths) > 1:
        raise ArgumentError("mean_of_trials", "trials", "all have the same max_rank", str(lengths))
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
