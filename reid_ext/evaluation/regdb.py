"""The RegDB protocol: visible against thermal images, either way, and the mean over ten trials."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from reid_ext.evaluation._engine.inputs import Array, check_choice, described
from reid_ext.evaluation.ranking import NO_RANKS, Ranking
from reid_ext.evaluation.retrieval import evaluate

DIRECTIONS = ("visible_to_thermal", "thermal_to_visible")


def evaluate_regdb(
    query: Array,
    gallery: Array,
    *,
    query_ids: Array,
    gallery_ids: Array,
    direction: str = "visible_to_thermal",
    trial: int | None = None,
    model_trial: int | None = None,
    metric: str = "cosine",
    max_rank: int = 50,
    average_precision: str = "step",
) -> Ranking:
    """Return CMC, mAP and mINP of one RegDB trial: every gallery image is ranked, none is junk.

    RegDB has ten trials, each with its own split of the identities, so each with a model of its
    own: one trained on trial 1 has seen test identities of trial 2. :func:`mean_of_trials` makes
    the figure that papers report.

    Args:
        query: Features of the query modality's test images, as in :func:`evaluate`.
        gallery: Features of the other modality's test images.
        query_ids: Identities of shape (Q,).
        gallery_ids: Identities of shape (G,).
        direction: ``"visible_to_thermal"`` (visible queries) or ``"thermal_to_visible"``.
        trial: Whose test split this is, 1 to 10.
        model_trial: Whose training split the model comes from; must be the same.

    The other arguments and errors are those of :func:`evaluate`.

    Source:
        The evaluation code that AGW (Ye et al. 2021) released: no removal, no de-duplication.
    """
    where = "evaluate_regdb"
    check_choice(where, "direction", direction, DIRECTIONS)
    for name, value in (("trial", trial), ("model_trial", model_trial)):
        if value is not None:
            check_choice(where, name, value, tuple(range(1, 11)))
    if model_trial is not None and model_trial != trial:
        raise ValueError(
            f"{where}: model_trial must be the trial that is evaluated ({trial}), got "
            f"{model_trial}; a model of another trial was trained on some of these identities"
        )
    ranking = evaluate(
        query,
        gallery,
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        protocol="generic",
        metric=metric,
        max_rank=max_rank,
        average_precision=average_precision,
    )
    which = "" if trial is None else f", trial {trial}"
    rules = ranking.protocol.removeprefix("generic: ")
    return replace(ranking, protocol=f"regdb: {direction}{which}; {rules}")


def mean_of_trials(trials: Sequence[Ranking]) -> Ranking:
    """Return the mean CMC, mAP and mINP of evaluations with different queries, such as RegDB's.

    Per-query values are those of all trials, one after the other.

    Raises:
        ValueError: no list of rankings, or rankings of different max_rank.
    """
    given = isinstance(trials, list | tuple) and all(isinstance(t, Ranking) for t in trials)
    if not given or not trials:
        raise ValueError(
            f"mean_of_trials: trials must be a list of Rankings, one at least, "
            f"got {described(trials)}"
        )
    lengths = {len(trial.cmc) for trial in trials}
    if len(lengths) > 1:
        raise ValueError(
            f"mean_of_trials: trials must have one max_rank, got {sorted(lengths)}; evaluate them "
            "alike"
        )
    count = len(trials)
    return Ranking(
        cmc=torch.stack([t.cmc for t in trials]).mean(0),
        mAP=sum(t.mAP for t in trials) / count,
        mINP=sum(t.mINP for t in trials) / count,
        average_precision=torch.cat([t.average_precision for t in trials]),
        inverse_negative_penalty=torch.cat([t.inverse_negative_penalty for t in trials]),
        first_match=torch.cat([t.first_match for t in trials]),
        match_ranks=NO_RANKS,
        num_valid=sum(t.num_valid for t in trials),
        protocol=f"mean of {count} trials: {trials[0].protocol}",
        trials=list(trials),
    )
