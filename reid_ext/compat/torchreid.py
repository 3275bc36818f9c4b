"""Drop-in replacement for torchreid's ``evaluate_rank`` that does not sort the gallery.

Replace ``from torchreid.metrics.rank import evaluate_rank`` by
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
        distmat: Distances of shape (Q, G), smaller is closer.
        q_pids: Identities of the queries, shape (Q,).
        g_pids: Identities of the gallery, shape (G,).
        q_camids: Cameras of the queries, shape (Q,). Gallery images of the query's identity and
            camera are junk.
        g_camids: Cameras of the gallery, shape (G,).
        max_rank: Length of the CMC, at most the size of the gallery. Default: 50.
        use_metric_cuhk03: Whether to compute the CMC over galleries with one image per identity.
            The CMC is then the exact expectation; torchreid draws ten galleries at random without a
            seed. Default: False.
        use_cython: Ignored; accepted for compatibility.

    Returns:
        The CMC as an array, and mAP.

    Raises:
        ValueError: If an argument is invalid or no query has a match. The message gives the reason.

    Examples:
        >>> from reid_ext.compat.torchreid import evaluate_rank
        >>> cmc, mAP = evaluate_rank([[0.1, 0.2, 0.3]], [1], [2, 1, 1], [0], [1, 1, 1], max_rank=2)
        >>> cmc.tolist(), round(mAP, 3)
        ([0.0, 1.0], 0.583)
    """
    where = "compat.torchreid.evaluate_rank"
    labels = (q_pids, g_pids, q_camids, g_camids)
    ranking = ranking_of(where, distmat, labels, max_rank, use_metric_cuhk03)
    return ranking.cmc.float().numpy(), ranking.mAP
