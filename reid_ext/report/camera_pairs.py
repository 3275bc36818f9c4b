"""The ranking camera by camera: how well queries of one find their people in another."""

from typing import NamedTuple

import numpy as np
import torch

from reid_ext.evaluation import evaluate
from reid_ext.report.run import Run


class CameraPairs(NamedTuple):
    """mAP of the queries of one camera among the gallery of another; NaN: no match is possible."""

    query_cameras: list[int]
    gallery_cameras: list[int]
    mAP: np.ndarray  # (query cameras, gallery cameras)


def camera_pairs(run: Run) -> CameraPairs | None:
    """The matrix of a run; None where cameras are not known."""
    if run.query.cameras is None or run.gallery.cameras is None:
        return None
    q_cameras, g_cameras = np.unique(run.query.cameras), np.unique(run.gallery.cameras)
    columns = [_among(run, run.query.cameras, q_cameras, camera) for camera in g_cameras]
    return CameraPairs(q_cameras.tolist(), g_cameras.tolist(), np.stack(columns, 1))


def _among(run: Run, cameras: np.ndarray, q_cameras: np.ndarray, camera: int) -> np.ndarray:
    """mAP by camera of the query, (query cameras,), where the gallery is of one camera.

    A query's average precision does not depend on the other queries: those of all cameras are
    ranked at once.
    """
    g = run.of_camera(camera)
    ids = run.gallery.identities[g]
    q = np.flatnonzero(np.isin(run.query.identities, ids) & run.may_match(camera))
    found = np.full(len(q_cameras), np.nan)
    if not len(q):
        return found
    ap = evaluate(
        run.query.features[torch.from_numpy(q)],
        run.gallery.features[torch.from_numpy(g)],
        query_ids=run.query.identities[q],
        gallery_ids=ids,
        protocol="generic",  # what is junk by the run's protocol is not among these
        metric=run.metric,
        max_rank=1,
    ).average_precision
    for i, of_query in enumerate(q_cameras):
        if len(own := np.flatnonzero(cameras[q] == of_query)):
            found[i] = float(ap[torch.from_numpy(own)].mean())
    return found
