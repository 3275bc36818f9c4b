"""The part of a page about several trials: the figures of each, their mean and their deviation."""

from collections.abc import Sequence

import numpy as np

from reid_ext.evaluation import Ranking
from reid_ext.report.markup import Markup, joined, tag
from reid_ext.report.run import Run
from reid_ext.report.tables import Cell, sortable

RANKS = (1, 10, 20)


def trials(run: Run) -> Markup:
    """A row for each trial; none where there is one evaluation only."""
    of_trials = run.ranking.trials
    if not of_trials:
        return tag("p", "One evaluation, without trials.", class_="caption")
    ranks = [k for k in RANKS if k <= len(run.ranking.cmc)]
    names = [*(f"rank-{k}" for k in ranks), "mAP", "mINP"]
    figures = np.array([_figures(trial, ranks) for trial in of_trials])
    rows = [
        [Cell(str(number), number), *(Cell(f"{100 * value:.2f}", value) for value in line)]
        for number, line in enumerate(figures.tolist(), 1)
    ]
    caption = tag("p", _deviations(names, figures), class_="caption")
    return joined(sortable("trials", ["trial", *names], rows), caption)


def _deviations(names: Sequence[str], figures: np.ndarray) -> str:
    """Mean and standard deviation of each column (trials, figures)."""
    if len(figures) == 1:
        return "Percent. One trial alone: nothing is known of the spread."
    ends = zip(names, 100 * figures.mean(0), 100 * figures.std(0, ddof=1), strict=True)
    words = ", ".join(f"{name} {m:.2f}\u00a0±\u00a0{s:.2f}" for name, m, s in ends)
    return f"Percent. Mean and standard deviation over {len(figures)} trials: {words}."


def _figures(ranking: Ranking, ranks: Sequence[int]) -> list[float]:
    return [*(ranking.rank(k) for k in ranks), ranking.mAP, ranking.mINP]
