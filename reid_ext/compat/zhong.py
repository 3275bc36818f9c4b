"""Drop-in replacement for Zhong's ``re_ranking`` that makes no matrix over all images.

Replace ``from re_ranking import re_ranking`` by ``from reid_ext.compat import re_ranking``.
"""

import numpy as np
from torch import Tensor

from reid_ext import ops
from reid_ext._runtime.arguments import ArgumentError, Array, finite, integer, matrix, number


def re_ranking(
    q_g_dist: Array,
    q_q_dist: Array,
    g_g_dist: Array,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> np.ndarray | Tensor:
    """Return re-ranked distances, float32 of shape (Q, G).

    The function follows the released code: it squares the distances, so that squared Euclidean
    distances are squared twice. It divides each column of the matrix over all images by its
    maximum. It rounds ``k1 / 2`` half to even. With ``k2`` 1 weights are not averaged. If ``k1`` or
    ``k2`` exceeds the number of images, all images are used. There are two differences: equal
    distances are ordered by index, whereas the order in the released code depends on its sort. A
    column of zeros stays zero, whereas the released code divides by zero.

    Args:
        q_g_dist: Distances between queries and gallery, shape (Q, G), float32, float64 or half.
        q_q_dist: Distances between queries, shape (Q, Q), same dtype.
        g_g_dist: Distances within the gallery, shape (G, G), same dtype.
        k1: Number of neighbours per image, not counting the image itself, at least 1. Default: 20.
        k2: Number of nearest images over which weights are averaged, at least 1. Default: 6.
        lambda_value: Weight of the original distance, in [0, 1]. Default: 0.3.

    Returns:
        A tensor if ``q_g_dist`` is a tensor, otherwise an array.

    Raises:
        ValueError: If an argument is invalid or distances are not finite.

    Source:
        Zhong et al. 2017, "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR.

    Examples:
        >>> from reid_ext.compat import re_ranking
        >>> q_g, q_q, g_g = [[1.0, 4.0]], [[0.0]], [[0.0, 9.0], [9.0, 0.0]]
        >>> final = re_ranking(q_g, q_q, g_g, k1=1, k2=1, lambda_value=0.3)
        >>> final.shape, bool(final[0, 0] < final[0, 1])
        ((1, 2), True)
    """
    function = "compat.re_ranking"
    given = {"q_g_dist": q_g_dist, "q_q_dist": q_q_dist, "g_g_dist": g_g_dist}
    matrices = {name: matrix(function, name, values) for name, values in given.items()}
    across = matrices["q_g_dist"]
    _check_like(function, "q_q_dist", matrices["q_q_dist"], len(across), across)
    _check_like(function, "g_g_dist", matrices["g_g_dist"], across.shape[1], across)
    for name, values in matrices.items():
        finite(function, name, values)
    final = ops.k_reciprocal_from_distances(
        *matrices.values(),
        k1=integer(function, "k1", k1, 1),
        k2=integer(function, "k2", k2, 1),
        lambda_value=number(function, "lambda_value", lambda_value, 0, 1),
    ).float()
    return final if isinstance(q_g_dist, Tensor) else final.numpy()


def _check_like(function: str, name: str, matrix: Tensor, side: int, across: Tensor) -> None:
    wanted: tuple[tuple[object, object], ...] = (
        (tuple(matrix.shape), (side, side)),
        (matrix.dtype, across.dtype),
        (matrix.device, across.device),
    )
    for what, (got, want) in zip(("shape", "dtype", "device"), wanted, strict=True):
        if got != want:
            requirement = f"have {what} {want} for q_g_dist of shape {tuple(across.shape)}"
            raise ArgumentError(function, name, requirement, str(got))
