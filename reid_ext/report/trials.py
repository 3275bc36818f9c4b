"""The section about several trials: the metrics of each, their mean and standard deviation."""

from collections.abc import Sequence

import numpy as np

from reid_ext.evaluation import Ranking
from reid_ext.report.markup import Markup, joined, tag
from reid_ext.report.run import Run
from reid_ext.report.tables import Cell, sortable

RANKS = (1, 10, 20)


def trials(run: Run) -> Markup:
    """Return a table with a row for each trial, or a sentence if there is a single evaluation."""
    of_trials = run.ranking.trials
    if not of_trials:
        return tag("p", "This run is a single evaluation without trials.", class_="caption")
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
    """Return the mean and standard deviation of each column (trials, metrics) as text."""
    if len(figures) == 1:
        return "Values in percent. With one trial there is no standard deviation."
    ends = zip(names, 100 * figures.mean(0), 100 * figures.std(0, ddof=1), strict=True)
    words = ", ".join(f"{name} {m:.2f}\u00a0±\u00a0{s:.2f}" for name, m, s in ends)
    return f"Values in percent. Mean and standard deviation over {len(figures)} trials: {words}."


def _figures(ranking: Ranking, ranks: Sequence[int]) -> list[float]:
    return [*(ranking.rank(k) for k in ranks), ranking.mAP, ranking.mINP]
