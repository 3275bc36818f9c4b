"""Zhong's ``re_ranking``: same arguments, same results, in a small part of its time and memory.

from reid_ext.compat import re_ranking   # was: from re_ranking import re_ranking
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
    """Return re-ranked distances, float32 of shape (Q, G): an array, or a tensor for tensors.

    What the released code does with its input is done here too: distances are squared, so squared
    Euclidean ones twice; each column of the matrix over all images is divided by its maximum;
    ``k1 / 2`` is rounded half to even; with ``k2`` 1 weights are not averaged; ``k1`` and ``k2``
    beyond the number of images mean all of them. Equal distances are ordered by index, where the
    released code leaves their order to its sort; a column of zeros stays zero, where it divides by
    zero. No matrix over all images is made.

    Args:
        q_g_dist: Distances between queries and gallery, (Q, G), float32, float64 or half.
        q_q_dist: Distances between queries, (Q, Q), same dtype.
        g_g_dist: Distances within the gallery, (G, G), same dtype.
        k1: Neighbours of an image that count besides itself, at least 1.
        k2: Nearest images over which weights are averaged, at least 1.
        lambda_value: Weight of the original distance, in [0, 1].

    Raises:
        ValueError: an argument that does not fit, by its name; distances that are not finite.

    Source:
        Zhong et al. 2017, "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR.
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
            requirement = f"have {what} {want} to go with q_g_dist of shape {tuple(across.shape)}"
            raise ArgumentError(function, name, requirement, str(got))
