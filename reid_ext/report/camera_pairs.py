"""mAP by camera pair: how well queries of one camera find their matches in another."""

from typing import NamedTuple

import numpy as np
import torch

from reid_ext.evaluation import evaluate
from reid_ext.report.run import Run, column


class CameraPairs(NamedTuple):
    """mAP by camera of the query and of the gallery; NaN if no match is possible."""

    query_cameras: list[int]
    gallery_cameras: list[int]
    mAP: np.ndarray  # (query cameras, gallery cameras)


def camera_pairs(run: Run) -> CameraPairs | None:
    """Return the matrix of a run, or None if cameras are missing."""
    query, gallery = (column(of, "cameras") for of in run.sides)
    if query is None or gallery is None:
        return None
    q_cameras, g_cameras = np.unique(query), np.unique(gallery)
    columns = [
        _among(run, query, q_cameras, np.flatnonzero(gallery == camera)) for camera in g_cameras
    ]
    return CameraPairs(q_cameras.tolist(), g_cameras.tolist(), np.stack(columns, 1))


def _among(run: Run, cameras: np.ndarray, q_cameras: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Return mAP by camera of the query, (query cameras,), among the gallery rows ``g``.

    The average precision of a query does not depend on the other queries, so the queries of all
    cameras are ranked at once.
    """
    rows = np.arange(len(cameras))
    out = run.left_out(rows, g)
    q = np.flatnonzero((run.same_identity(rows, g) & ~out).any(1))
    found = np.full(len(q_cameras), np.nan)
    if not len(q):
        return found
    query, gallery = run.sides
    ap = evaluate(
        query[q], gallery[g], protocol="generic", junk=out[q], metric=run.metric, max_rank=1
    ).average_precision
    for i, of_query in enumerate(q_cameras):
        if len(own := np.flatnonzero(cameras[q] == of_query)):
            found[i] = float(ap[torch.from_numpy(own)].mean())
    return found
