"""torchreid's ``evaluate_rank``: same arguments, same results, without sorting the gallery.

In place of ``from torchreid.metrics.rank import evaluate_rank`` write
``from reid_ext.compat.torchreid import evaluate_rank``.
"""

import numpy as np

from reid_ext._runtime.arguments import Array
from reid_ext.compat._evaluate_rank import ranking_of


def evaluate_rank(
    distmat: Array,
    q_pids: Array,
    g_pids: Array,
    q_camids: Array,
    g_camids: Array,
    max_rank: int = 50,
    use_metric_cuhk03: bool = False,
    use_cython: bool = True,
) -> tuple[np.ndarray, float]:
    """Return the CMC, float32 of shape (max_rank,), and mAP.

    Args:
        distmat: Distances (Q, G), smaller is closer.
        q_pids: Identities of the queries, (Q,).
        g_pids: Identities of the gallery, (G,).
        q_camids: Cameras of the queries, (Q,). Images of the query's identity and camera are junk.
        g_camids: Cameras of the gallery, (G,).
        max_rank: Length of the CMC, at most the gallery's size.
        use_metric_cuhk03: CMC over galleries of one image per identity; here its expectation, where
            torchreid draws ten galleries at random without a seed.
        use_cython: Taken, and of no effect.

    Raises:
        ValueError: an argument that does not fit, by its name; or no query has a match, and why.
    """
    where = "compat.torchreid.evaluate_rank"
    labels = (q_pids, g_pids, q_camids, g_camids)
    ranking = ranking_of(where, distmat, labels, max_rank, use_metric_cuhk03)
    return ranking.cmc.float().numpy(), ranking.mAP
