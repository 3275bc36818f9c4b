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
    of_trials = run.whole.trials
    if not of_trials:
        return tag("p", "One evaluation, without trials.", class_="caption")
    ranks = [k for k in RANKS if k <= len(run.whole.cmc)]
    names = [*(f"rank-{k}" for k in ranks), "mAP", "mINP"]
    figures = np.array([_figures(trial, ranks) for trial in of_trials])
    rows = [
        [Cell(str(number), number), *(Cell(f"{100 * value:.2f}", value) for value in line)]
        for number, line in enumerate(figures.tolist(), 1)
    ]
    caption = f"Percent. Mean and standard deviation over {len(of_trials)} trials: "
    if len(of_trials) > 1:
        ends = zip(names, figures.mean(0), figures.std(0, ddof=1), strict=True)
        caption += ", ".join(f"{name} {100 * m:.2f}\u00a0±\u00a0{100 * s:.2f}" for name, m, s in ends)
    else:
        caption = "Percent. One trial alone: nothing is known of the spread"
    return joined(
        sortable("trials", ["trial", *names], rows), tag("p", f"{caption}.", class_="caption")
    )


def _figures(ranking: Ranking, ranks: Sequence[int]) -> list[float]:
    return [*(ranking.rank(k) for k in ranks), ranking.mAP, ranking.mINP]
