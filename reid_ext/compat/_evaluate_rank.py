"""What the ``evaluate_rank`` of torchreid and that of fast-reid have in common."""

from typing import Any

import numpy as np

from reid_ext.evaluation import Ranking, evaluate_distances, evaluate_single_shot
from reid_ext.evaluation._engine.inputs import Array, check_at_least, described, read_matrix

_THEIR_NAMES = {
    "evaluate_distances": None,  # where it is called
    "evaluate_single_shot": None,
    "query_ids": "q_pids",
    "gallery_ids": "g_pids",
    "query_cameras": "q_camids",
    "gallery_cameras": "g_camids",
    "distances": "distmat",
}


def ranking_of(
    where: str,
    distmat: Array,
    labels: tuple[Array, Array, Array, Array],
    max_rank: int,
    single_shot: bool,
) -> Ranking:
    """The ranking of their rules; labels are q_pids, g_pids, q_camids and g_camids."""
    distances = read_matrix(where, "distmat", distmat)
    check_at_least(where, "max_rank", max_rank, 1)
    if not isinstance(single_shot, int | np.bool_):
        got = described(single_shot)
        raise ValueError(f"{where}: use_metric_cuhk03 must be True or False, got {got}")
    names = ("query_ids", "gallery_ids", "query_cameras", "gallery_cameras")
    keywords: dict[str, Any] = dict(zip(names, labels, strict=True))
    keywords["max_rank"] = min(max_rank, distances.shape[1])
    try:
        if single_shot:
            return evaluate_single_shot(distances, **keywords)
        return evaluate_distances(distances, **keywords, protocol="cuhk03-np")
    except ValueError as error:
        message = str(error)
        for ours, theirs in _THEIR_NAMES.items():
            message = message.replace(ours, theirs or where)
        raise ValueError(message) from None
