"""Bootstrap confidence intervals: how far the metrics depend on the choice of queries."""

from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, described, integer, number
from reid_ext.evaluation.ranking import Ranking


class Interval(NamedTuple):
    """Lower and upper end of a confidence interval, as fractions in [0, 1].

    For the CMC both ends have shape (max_rank,), one value per rank.

    Examples:
        >>> import torch
        >>> from reid_ext.evaluation import Interval
        >>> interval = Interval(torch.tensor(0.25), torch.tensor(0.75))
        >>> float(interval.high - interval.low)
        0.5
    """

    low: Tensor
    high: Tensor


class Confidence(NamedTuple):
    """Confidence intervals of the metrics of a :class:`Ranking`, float64.

    Examples:
        >>> from reid_ext.evaluation import bootstrap, evaluate_distances
        >>> ranking = evaluate_distances(
        ...     [[0.1, 0.2]], query_ids=[1], gallery_ids=[1, 2], protocol="generic", max_rank=2
        ... )
        >>> confidence = bootstrap(ranking)
        >>> float(confidence.mAP.low), float(confidence.mAP.high)
        (1.0, 1.0)
        >>> confidence.cmc.low.tolist()
        [1.0, 1.0]
    """

    cmc: Interval
    mAP: Interval
    mINP: Interval


def bootstrap(
    ranking: Ranking, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Confidence:
    """Return bootstrap confidence intervals over the queries that have a match.

    Each resample draws as many queries as there are, with replacement. An interval contains the
    middle share ``level`` of the values that the metric takes in the resamples. The bootstrap
    treats queries as independent. Queries of the same identity are not, so the true uncertainty is
    larger. The variation between training runs is not included.

    Args:
        ranking: Result of a single evaluation. For a mean over trials, pass one ranking of
            ``ranking.trials``.
        level: Confidence level in (0, 1). Default: 0.95.
        resamples: Number of resamples, at least 1. Default: 1000.
        seed: Non-negative seed of the resampling. Default: 0.

    Returns:
        :class:`Confidence`: one interval each for the CMC, mAP and mINP.

    Raises:
        ArgumentError: If an argument is out of range, or ``ranking`` is a mean over trials.

    Source:
        Efron and Tibshirani 1993, "An Introduction to the Bootstrap", ch. 13 (percentile interval).

    Examples:
        >>> from reid_ext.evaluation import bootstrap, evaluate_distances
        >>> ranking = evaluate_distances(
        ...     [[0.1, 0.2], [0.3, 0.1]], query_ids=[1, 1], gallery_ids=[1, 2], protocol="generic"
        ... )
        >>> ranking.mAP
        0.75
        >>> interval = bootstrap(ranking, level=0.95, seed=0).mAP
        >>> float(interval.low), float(interval.high)
        (0.5, 1.0)
    """
    function = "bootstrap"
    if not isinstance(ranking, Ranking):
        raise ArgumentError(function, "ranking", "be a Ranking", described(ranking))
    level = number(function, "level", level, above=0, below=1)
    resamples = integer(function, "resamples", resamples, 1)
    seed = integer(function, "seed", seed, 0)
    if ranking.trials:
        got = f"the mean of {len(ranking.trials)} trials"
        requirement = "be the result of a single evaluation"
        raise ArgumentError(function, "ranking", requirement, got, "pass one of ranking.trials")
    valid = ~ranking.first_match.isnan()
    n, k = int(valid.sum()), len(ranking.cmc)
    generator = torch.Generator().manual_seed(seed)
    first = ranking.first_match[valid].clamp(max=k + 1).long()
    columns = torch.stack(
        [ranking.average_precision[valid], ranking.inverse_negative_penalty[valid]], 1
    )
    means, curves = columns.new_empty(resamples, 2), columns.new_empty(resamples, k)
    for i in range(resamples):
        drawn = torch.randint(n, (n,), generator=generator, device="cpu")
        means[i] = columns[drawn].mean(0)
        curves[i] = torch.bincount(first[drawn], minlength=k + 2)[1 : k + 1].cumsum(0).double() / n
    ends = columns.new_tensor([(1 - level) / 2, (1 + level) / 2])
    return Confidence(
        Interval(*curves.quantile(ends, 0)),
        Interval(*means[:, 0].quantile(ends)),
        Interval(*means[:, 1].quantile(ends)),
    )
