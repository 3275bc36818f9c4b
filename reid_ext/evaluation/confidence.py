"""How far the metrics of a ranking depend on which queries happened to be asked."""

from numbers import Real
from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext.evaluation._engine.inputs import check_at_least, described
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
        ValueError: an argument out of range, or a mean over trials.

    Source:
        Efron and Tibshirani 1993, "An Introduction to the Bootstrap", ch. 13 (percentile interval).
    """
    where = "bootstrap"
    if not isinstance(ranking, Ranking):
        raise ValueError(f"{where}: ranking must be a Ranking, got {described(ranking)}")
    if not isinstance(level, Real) or not 0 < level < 1:
        raise ValueError(f"{where}: level must be between 0 and 1, got {described(level)}")
    resamples = check_at_least(where, "resamples", resamples, 1)
    seed = check_at_least(where, "seed", seed, 0)
    if ranking.trials:
        raise ValueError(
            f"{where}: ranking must be of one evaluation, got the mean of {len(ranking.trials)} "
            "trials; pass one of its .trials"
        )
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
