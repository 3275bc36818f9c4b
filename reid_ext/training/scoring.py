"""The evaluation of a job: its rankings and their figures.

All calls of :mod:`reid_ext.evaluation` by the training are here. Rankings and figures use the same
arguments.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.evaluation import (
    PROTOCOLS,
    Protocol,
    Ranking,
    Reported,
    evaluate,
    evaluate_viewpoint,
    mean_of_trials,
    ranked_lists,
    trials,
)
from reid_ext.features import FeatureSet
from reid_ext.training.job import Job
from reid_ext.training.results import LISTED, draw_ranked_lists, plot_cmc

LISTED_QUERIES = 6
VIEWS = ("front", "side", "back")


def protocol_of(job: Job) -> Protocol:
    """The protocol of the job's dataset."""
    return PROTOCOLS[job.setup.protocol(job.dataset)]


def rank(job: Job, query: FeatureSet, gallery: FeatureSet | None) -> dict[str, Ranking]:
    """Return the rankings by their labels; the first gives the main result.

    ``query`` and ``gallery`` are the features of the samples of ``job.dataset``. The gallery is
    None for protocols that draw it from the queries.
    """
    rankings = {}
    for reranked in (False, True) if job.options.rerank else (False,):
        for result in protocol_of(job).results():
            label = _label(job, result) + (", re-ranked" if reranked else "")
            sides = _sides(result, query, gallery)
            rankings[label] = evaluate(*sides, **_arguments(job, result), rerank=reranked)
    if job.options.by_viewpoint:
        rankings |= _by_viewpoint(job, query, gallery)
    return rankings


def draw(
    job: Job, rankings: Mapping[str, Ranking], query: FeatureSet, gallery: FeatureSet | None
) -> None:
    """Draw cmc.png, and ranked_list.png with the ranking of a few queries.

    With re-ranking, ranked_list_reranked.png shows the same queries.
    """
    options, dataset = job.options, job.dataset
    plot_cmc(rankings, job.out / "cmc.png", f"{dataset.name} protocol, {options.loss}")
    protocol = protocol_of(job)
    result = protocol.results()[0]
    sides, arguments = _sides(result, query, gallery), _arguments(job, result)
    first = trials(*sides, **{k: v for k, v in arguments.items() if k != "metric"})[0]
    count = len(sides[0]) if first.query is None else len(first.query)
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(options.seed))
    samples = dataset.query, dataset.query if protocol.one_set else dataset.gallery
    for reranked in (False, True) if options.rerank else (False,):
        lists = ranked_lists(
            *sides, queries=chosen[:LISTED_QUERIES], length=LISTED, **arguments, rerank=reranked
        )
        name = "ranked_list_reranked" if reranked else "ranked_list"
        how = ", re-ranked" if reranked else ""
        title = f"queries and their nearest images ({options.loss}{how})"
        draw_ranked_lists(lists, *samples, job.out / f"{name}.png", title)


def of_all_trials(job: Job, rankings: Sequence[Ranking]) -> Ranking:
    """Return the mean of the rankings of all trials, or the only ranking without trials."""
    return mean_of_trials(rankings) if job.setup.trials else rankings[0]


def _label(job: Job, result: Reported) -> str:
    return result.name if protocol_of(job).reported else job.dataset.name


def _sides(
    result: Reported, query: FeatureSet, gallery: FeatureSet | None
) -> tuple[FeatureSet, FeatureSet | None]:
    exchanged = result.exchanged and gallery is not None
    return (gallery, query) if exchanged else (query, gallery)  # type: ignore[return-value]


def _arguments(job: Job, result: Reported) -> dict[str, Any]:
    """The keyword arguments of :func:`evaluate` besides the features."""
    return {
        "protocol": protocol_of(job),
        "metric": job.recipe.metric,
        **job.setup.settings(job.root, job.trial),
        **result.settings,
    }


def _by_viewpoint(job: Job, query: FeatureSet, gallery: FeatureSet | None) -> dict[str, Ranking]:
    """The rankings of all test images with a known view, which distractors do not have."""
    both = query if gallery is None else query.concat(gallery)
    known = both[both.columns["views"] >= 0]
    if not len(known):
        requirement = "be used with test images that have view labels"
        raise ArgumentError("run", "by_viewpoint", requirement, "no labels", "set views")
    return {
        f"{kind}-viewpoint, {name}": evaluate_viewpoint(
            known,
            view=view,
            kind=kind,
            seed=job.options.seed,
            protocol=job.dataset.name,
            metric=job.recipe.metric,
        )
        for kind in ("single", "cross")
        for view, name in enumerate(VIEWS)
    }
