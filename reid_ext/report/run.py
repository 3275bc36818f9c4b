"""One evaluation that a report shows: its feature sets, its ranking, and how it was made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reid_ext import ops
from reid_ext.evaluation import (
    METHODS,
    PROTOCOLS,
    Confidence,
    Interval,
    Pairs,
    Protocol,
    RankedLists,
    Ranking,
    bootstrap,
    evaluate,
    evaluate_distances,
    left_out,
    ranked_lists,
    rerank,
    trials,
)
from reid_ext.features import FeatureSet

PAIRS_AT_ONCE = 1 << 22
DEFAULT = signature(evaluate).parameters["protocol"].default
RULES = ("junk", "candidates")
# Arguments that change the metrics but not the ranked lists.
OF_THE_NUMBERS = ("max_rank", "average_precision", "compute")


@dataclass(frozen=True, eq=False)
class Run:
    """A ranking with the data it was made from.

    Sections of a report about single images show the first trial.

    Attributes:
        name: Name of the run in the report; any text.
        query: The queries, as passed to :func:`reid_ext.evaluate`.
        gallery: The gallery. None if the protocol draws galleries from the queries.
        ranking: The result, with all trials in its ``trials`` if there are several. It may be a
            mean over several sets. ``query`` and ``gallery`` are then the first ones.
        options: The other arguments of :func:`reid_ext.evaluate`.
        distances: Re-ranked distances (Q, G) of a protocol with one gallery, if they are known.

    Examples:
        >>> import torch
        >>> from reid_ext import FeatureSet
        >>> from reid_ext.report import Run
        >>> query = FeatureSet(torch.eye(2), identities=[1, 2], cameras=[1, 1])
        >>> gallery = FeatureSet(torch.eye(2), identities=[1, 2], cameras=[2, 2])
        >>> run = Run.of("ours", query, gallery, protocol="market1501")
        >>> run.name, run.ranking.mAP
        ('ours', 1.0)
    """

    name: str
    query: FeatureSet
    gallery: FeatureSet | None
    ranking: Ranking
    options: Mapping[str, Any] = field(default_factory=dict)
    distances: Tensor | None = None

    @classmethod
    def of(
        cls, name: str, query: FeatureSet, gallery: FeatureSet | None = None, **options: Any
    ) -> "Run":
        """Evaluate and keep what a report needs. A single gallery is re-ranked only once.

        Args:
            name: Name of the run in the report; any text.
            query: The queries.
            gallery: The gallery. None for protocols that draw galleries from the queries.
            **options: The other arguments of :func:`reid_ext.evaluate`.

        Raises:
            ArgumentError: If an argument is invalid, as in :func:`reid_ext.evaluate`.
        """
        given, distances = cls(name, query, gallery, None, options), None  # type: ignore[arg-type]
        if gallery is None or given.protocol.draws or not options.get("rerank"):
            ranking = evaluate(query, gallery, **options)
        else:
            distances, by = given._reranked(gallery)
            ranking = evaluate_distances(distances, query, gallery, **{**options, **by})
        return cls(name, query, gallery, ranking, options, distances)

    def _reranked(self, gallery: FeatureSet) -> tuple[Tensor, dict[str, Any]]:
        """Return re-ranked distances, and the arguments that record how they were made."""
        asked = self.options["rerank"]
        arguments = dict(asked) if isinstance(asked, Mapping) else {}
        takes_metric = "metric" in METHODS.get(arguments.get("method", next(iter(METHODS))), ())
        by = {"metric": self.metric, **arguments} if takes_metric else arguments
        return rerank(self.query, gallery, **by), {"metric": self.metric, "rerank": arguments}

    @property
    def protocol(self) -> Protocol:
        """The rules of the evaluation."""
        given = self.options.get("protocol", DEFAULT)
        return given if isinstance(given, Protocol) else PROTOCOLS[given]

    @property
    def metric(self) -> str:
        """The distance between features, before any re-ranking."""
        return self.options.get("metric") or self.protocol.metric

    @property
    def first(self) -> Ranking:
        """The ranking of the first trial, to which single images in a report belong."""
        return self.ranking.trials[0] if self.ranking.trials else self.ranking

    @property
    def trial(self) -> str:
        """Text such as ``"trial 1 of 10"``; empty for a single evaluation."""
        return f"trial 1 of {len(self.ranking.trials)}" if self.ranking.trials else ""

    @cached_property
    def sides(self) -> tuple[FeatureSet, FeatureSet]:
        """Queries and gallery of the first trial."""
        settings = {k: v for k, v in self._of_lists.items() if k in self._setting_names}
        one = trials(self.query, self.gallery, protocol=self.protocol, **settings)[0]
        sets = self.query, self.query if self.gallery is None else self.gallery
        return tuple(  # type: ignore[return-value]
            of if rows is None else of[rows] for of, rows in zip(sets, one, strict=True)
        )

    @property
    def _setting_names(self) -> set[str]:
        return {setting.name for setting in self.protocol.settings}

    @property
    def _of_lists(self) -> dict[str, Any]:
        return {k: v for k, v in self.options.items() if k not in OF_THE_NUMBERS}

    def lists(self, rows: np.ndarray, length: int) -> RankedLists:
        """Return the first gallery images of these queries, including junk; rows index the sets."""
        return ranked_lists(
            self.query,
            self.gallery,
            queries=rows,
            length=length,
            with_junk=True,
            distances=self.distances,
            **self._of_lists,
        )

    def left_out(self, rows: np.ndarray, gallery_rows: np.ndarray | None = None) -> np.ndarray:
        """Return which pairs of the first trial the evaluation leaves out, (n, m) bool."""
        query, gallery = self.sides
        if gallery_rows is None:
            gallery_rows = np.arange(len(gallery))
        given = {k: v for k, v in self._of_lists.items() if k in self._setting_names}
        for name in RULES:
            if (rule := self.options.get(name)) is not None:
                given[name] = _for_rows(rule, rows, gallery_rows)
        some = query[rows], gallery[gallery_rows]
        return left_out(*some, protocol=self.protocol, **given).numpy()

    def same_identity(
        self, rows: np.ndarray, gallery_rows: np.ndarray | slice = slice(None)
    ) -> np.ndarray:
        """Return which pairs have the same identity, (n, m) bool, including junk."""
        q, g = (column(of, "identities") for of in self.sides)
        return q[rows][:, None] == g[gallery_rows][None]  # type: ignore[index]

    def precisions(self) -> np.ndarray:
        """Return the average precision of all queries with a match, of all trials."""
        of_trials = [trial.average_precision for trial in self.ranking.trials]
        ap = torch.cat(of_trials or [self.ranking.average_precision]).numpy()
        return ap[~np.isnan(ap)]

    def spread(self) -> Confidence | None:
        """Return the smallest and largest value of each metric over the trials.

        Without trials these are 95 % bootstrap intervals. The result is None for a single trial,
        and for a CMC that does not follow from the queries' first matches.
        """
        of_trials = self.ranking.trials
        if not of_trials:
            return bootstrap(self.ranking) if self.protocol.cmc_of_first_matches else None
        if len(of_trials) == 1:
            return None
        figures = (
            torch.stack([trial.cmc for trial in of_trials]),
            torch.tensor([trial.mAP for trial in of_trials], dtype=torch.float64),
            torch.tensor([trial.mINP for trial in of_trials], dtype=torch.float64),
        )
        return Confidence(*(Interval(*of.aminmax(dim=0)) for of in figures))

    def angles(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield blocks of these queries with their angles to the gallery, radians (rows, G)."""
        q, g = (of.tensor() for of in self.sides)
        step = max(1, PAIRS_AT_ONCE // max(1, len(g)))
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            picked = q[torch.from_numpy(some).to(q.device)]
            angle = ops.cosine_matrix(picked.float(), g.float(), angle=True)
            yield some, angle.cpu().numpy()


def column(of: FeatureSet, name: str) -> np.ndarray | None:
    """Return a column as an array, or None if it is missing."""
    values = of.columns.get(name)
    return values.cpu().numpy() if isinstance(values, Tensor) else values


def _for_rows(rule: Any, rows: np.ndarray, gallery_rows: np.ndarray) -> Any:
    """Return a rule restricted to some queries and gallery images."""
    if callable(rule):
        q, g = torch.from_numpy(rows), torch.from_numpy(gallery_rows)

        def of_some(pairs: Pairs) -> Tensor:
            return rule(
                pairs._replace(query_rows=q[pairs.query_rows], gallery_rows=g[pairs.gallery_rows])
            )

        return of_some
    mask = rule.cpu().numpy() if isinstance(rule, Tensor) else np.asarray(rule)
    return mask[rows][:, gallery_rows]
