"""The evaluation of a job: its rankings, and the figures that show them.

All calls of :mod:`reid_ext.evaluation` by the training scripts are here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import data
from reid_ext._runtime.arguments import ArgumentError
from reid_ext.evaluation import (
    Ranking,
    evaluate,
    evaluate_llcm,
    evaluate_regdb,
    evaluate_sampled_gallery,
    evaluate_sysu,
    evaluate_viewpoint,
    mean_of_trials,
    rerank,
    select_galleries,
)
from reid_ext.training.job import Job
from reid_ext.training.results import draw_ranked_lists, plot_cmc
from reid_ext.training.setups import Evaluation

LISTED_QUERIES = 6
LLCM_TRIALS = range(10)
VIEWS = ("front", "side", "back")


class Side(NamedTuple):
    """The queries or the gallery: samples, and their features of shape (N, D)."""

    samples: Sequence[data.Sample]
    features: Tensor

    @property
    def identities(self) -> list[int]:
        return [sample.identity for sample in self.samples]

    @property
    def cameras(self) -> list[int]:
        return [sample.camera for sample in self.samples]

    def rows(self, rows: Sequence[int]) -> "Side":
        return Side([self.samples[row] for row in rows], self.features[list(rows)])


def rank(job: Job, query: Tensor, gallery: Tensor) -> dict[str, Ranking]:
    """Return the rankings by their labels; the first gives the headline.

    ``query`` and ``gallery`` are the features of the samples of ``job.dataset``.
    """
    sides = Side(job.dataset.query, query), Side(job.dataset.gallery, gallery)
    evaluations = job.setup.evaluations(job.dataset)
    rankings = {label: _ranking(job, e, *sides) for label, e in evaluations.items()}
    if job.options.rerank:
        for label, evaluation in evaluations.items():
            rankings[f"{label}, re-ranked"] = _ranking(job, evaluation, *sides, reranked=True)
    if job.options.by_viewpoint:
        rankings |= _by_viewpoint(job, *sides)
    return rankings


def of_all_trials(job: Job, trials: Sequence[Ranking]) -> Ranking:
    """Return the mean of the rankings of all trials; of a dataset without trials the only one."""
    return mean_of_trials(trials) if job.setup.trials else trials[0]


def _ranking(
    job: Job, evaluation: Evaluation, query: Side, gallery: Side, reranked: bool = False
) -> Ranking:
    if evaluation.swapped:
        query, gallery = gallery, query
    if special := _SPECIAL.get(evaluation.protocol):
        return special(job, evaluation, query, gallery)
    return evaluate(
        query.features,
        gallery.features,
        query_ids=query.identities,
        gallery_ids=gallery.identities,
        query_cameras=query.cameras,
        gallery_cameras=gallery.cameras,
        protocol=evaluation.protocol,
        metric=job.recipe.metric,
        rerank=reranked,
    )


def _sysu(job: Job, evaluation: Evaluation, query: Side, gallery: Side) -> Ranking:
    return evaluate_sysu(
        query.features,
        gallery.features,
        query_ids=query.identities,
        gallery_ids=gallery.identities,
        query_cameras=query.cameras,
        gallery_cameras=gallery.cameras,
        gallery_images=data.sysu.image_numbers(gallery.samples),
        permutations=data.sysu.load_permutations(job.root),
        metric=job.recipe.metric,
        **evaluation.arguments,
    )


def _regdb(job: Job, evaluation: Evaluation, query: Side, gallery: Side) -> Ranking:
    return evaluate_regdb(
        query.features,
        gallery.features,
        query_ids=query.identities,
        gallery_ids=gallery.identities,
        trial=job.trial,
        metric=job.recipe.metric,
        **evaluation.arguments,
    )


def _llcm(job: Job, evaluation: Evaluation, query: Side, gallery: Side) -> Ranking:
    return evaluate_llcm(
        query.features,
        gallery.features,
        query_ids=query.identities,
        gallery_ids=gallery.identities,
        query_cameras=query.cameras,
        gallery_cameras=gallery.cameras,
        galleries=[data.llcm.gallery_rows(gallery.samples, trial) for trial in LLCM_TRIALS],
        metric=job.recipe.metric,
    )


def _vehicleid(job: Job, evaluation: Evaluation, query: Side, gallery: Side) -> Ranking:
    """Its galleries are drawn from the test images."""
    return evaluate_sampled_gallery(query.features, ids=query.identities, metric=job.recipe.metric)


_SPECIAL: dict[str, Callable[[Job, Evaluation, Side, Side], Ranking]] = {
    "sysu-mm01": _sysu,
    "regdb": _regdb,
    "llcm": _llcm,
    "vehicleid": _vehicleid,
}


def _by_viewpoint(job: Job, query: Side, gallery: Side) -> dict[str, Ranking]:
    """The rankings of all test images with a known view; distractors have none."""
    both = Side([*query.samples, *gallery.samples], torch.cat([query.features, gallery.features]))
    known = both.rows([row for row, s in enumerate(both.samples) if s.view is not None])
    if not known.samples:
        requirement = "be used with test images that have view labels"
        raise ArgumentError("run", "by_viewpoint", requirement, "none", "give them as views")
    return {
        f"{kind}-viewpoint, {name}": evaluate_viewpoint(
            known.features,
            ids=known.identities,
            cameras=known.cameras,
            views=[sample.view for sample in known.samples],
            view=view,
            kind=kind,
            seed=job.options.seed,
            protocol=job.dataset.name,
            metric=job.recipe.metric,
        )
        for kind in ("single", "cross")
        for view, name in enumerate(VIEWS)
    }


def draw(job: Job, rankings: Mapping[str, Ranking], query: Tensor, gallery: Tensor) -> None:
    """Draw cmc.png, and ranked_list.png of a few queries without the images that are junk.

    With re-ranking also ranked_list_reranked.png, of the same queries.
    """
    options, out = job.options, job.out
    plot_cmc(rankings, out / "cmc.png", f"{job.dataset.name} protocol, {options.loss}")
    sides = Side(job.dataset.query, query), Side(job.dataset.gallery, gallery)
    queries, candidates = _SHOWN.get(job.setup.dataset, _all)(*sides)
    chosen = torch.randperm(
        len(queries.samples), generator=torch.Generator().manual_seed(options.seed)
    )[:LISTED_QUERIES]
    shown = queries.rows(chosen.tolist())
    similarity = F.normalize(shown.features) @ F.normalize(candidates.features).T
    lists = {"ranked_list": 1 - similarity}
    if options.rerank:
        distances = rerank(queries.features, candidates.features, metric="cosine")
        lists["ranked_list_reranked"] = distances[chosen]
    protocol = next(iter(job.setup.evaluations(job.dataset).values())).protocol
    is_junk = _JUNK.get(protocol, _same_camera)
    junk = torch.tensor([[is_junk(q, g) for g in candidates.samples] for q in shown.samples])
    for name, distances in lists.items():
        how = "" if name == "ranked_list" else ", re-ranked"
        title = f"queries and their nearest images ({options.loss}{how})"
        distances[junk] = torch.inf
        path = out / f"{name}.png"
        draw_ranked_lists(shown.samples, candidates.samples, distances, path, title)


def _all(query: Side, gallery: Side) -> tuple[Side, Side]:
    return query, gallery


def _first_sysu_gallery(query: Side, gallery: Side) -> tuple[Side, Side]:
    rows = select_galleries(gallery.identities, gallery.cameras, trials=1)[0]
    return query, gallery.rows([int(row) for row in rows])


def _first_images(query: Side, gallery: Side) -> tuple[Side, Side]:
    """The first image of each identity as the gallery, and all others as queries."""
    first: dict[int, int] = {}
    for row, identity in enumerate(query.identities):
        first.setdefault(identity, row)
    rows = sorted(first.values())
    others = sorted(set(range(len(query.samples))) - set(rows))
    return query.rows(others), query.rows(rows)


_SHOWN: dict[str, Callable[[Side, Side], tuple[Side, Side]]] = {
    "sysu-mm01": _first_sysu_gallery,
    "vehicleid": _first_images,
}


Pair = Callable[[data.Sample, data.Sample], bool]  # a query and a gallery image


def _same_camera(query: data.Sample, candidate: data.Sample) -> bool:
    return (candidate.identity, candidate.camera) == (query.identity, query.camera)


def _never(query: data.Sample, candidate: data.Sample) -> bool:
    return False


# By protocol, what is left out of a query's ranking; of the others what the same camera saw.
_JUNK: dict[str, Pair] = {
    "sysu-mm01": lambda q, g: (q.camera, g.camera) == (3, 2),  # they look at the same place
    "market1501": lambda q, g: g.identity == data.market1501.JUNK or _same_camera(q, g),
    "vehicleid": _never,
    "generic": _never,
}
