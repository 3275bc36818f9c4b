"""How far the metrics of a ranking depend on which queries happened to be asked."""

from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, described, integer, number
from reid_ext.evaluation.ranking import Ranking


class Interval(NamedTuple):
    """Lower and upper end, fractions in [0, 1]; of a CMC each of shape (max_rank,)."""

    low: Tensor
    high: Tensor


class Confidence(NamedTuple):
    """Percentile intervals of the metrics of a :class:`Ranking`, float64."""

    cmc: Interval
    mAP: Interval
    mINP: Interval


def bootstrap(
    ranking: Ranking, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Confidence:
    """Return bootstrap confidence intervals over the queries that have a match.

    Queries are drawn with replacement as many times as there are; an interval holds the middle
    ``level`` of the metric over the resamples. Queries of one person are not independent, so the
    true uncertainty is larger; that of training is not in it at all.

    Args:
        ranking: Of one evaluation; a mean over trials has a ranking per trial in ``.trials``.
        level: In (0, 1).
        resamples: At least 1.
        seed: Of the draws.

    Raises:
        ArgumentError: an argument out of range, or a mean over trials.

    Source:
        Efron and Tibshirani 1993, "An Introduction to the Bootstrap", ch. 13 (percentile interval).
    """
    function = "bootstrap"
    if not isinstance(ranking, Ranking):
        raise ArgumentError(function, "ranking", "be a Ranking", described(ranking))
    level = number(function, "level", level, above=0, below=1)
    resamples = integer(function, "resamples", resamples, 1)
    seed = integer(function, "seed", seed, 0)
    if ranking.trials:
        got = f"the mean of {len(ranking.trials)} trials"
        raise ArgumentError(function, "ranking", "be of one evaluation", got, "pass one of .trials")
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
