"""The common part of torchreid's and fast-reid's ``evaluate_rank``."""

from typing import Any

import numpy as np

from reid_ext._runtime.arguments import ArgumentError, Array, described, integer, matrix
from reid_ext.evaluation import Ranking, evaluate_distances

THEIR_NAMES = {
    "query_ids": "q_pids",
    "gallery_ids": "g_pids",
    "query_cameras": "q_camids",
    "gallery_cameras": "g_camids",
    "distances": "distmat",
}


def ranking_of(
    function: str,
    distmat: Array,
    labels: tuple[Array, Array, Array, Array],
    max_rank: int,
    single_shot: bool,
) -> Ranking:
    """Return the ranking; ``labels`` are q_pids, g_pids, q_camids and g_camids."""
    distances = matrix(function, "distmat", distmat)
    max_rank = integer(function, "max_rank", max_rank, 1)
    if not isinstance(single_shot, int | np.bool_):
        got = described(single_shot)
        raise ArgumentError(function, "use_metric_cuhk03", "be True or False", got)
    names = ("query_ids", "gallery_ids", "query_cameras", "gallery_cameras")
    keywords: dict[str, Any] = dict(zip(names, labels, strict=True))
    try:
        return evaluate_distances(
            distances,
            **keywords,
            protocol="cuhk03-classic" if single_shot else "cuhk03-np",
            max_rank=min(max_rank, distances.shape[1]),
        )
    except ArgumentError as error:
        raise error.named(function, **THEIR_NAMES) from None
