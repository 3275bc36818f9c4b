"""k-reciprocal re-ranking: distances of a gallery to queries, by the neighbours they share.

Source: Zhong et al. 2017, "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR.
"""

import torch
from torch import Tensor

from reid_ext.ops._autograd import no_gradient
from reid_ext.ops._contract import METRICS, code_of, computed


def k_reciprocal(
    query: Tensor,
    gallery: Tensor,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    metric: str = "squared_euclidean",
) -> Tensor:
    """Return re-ranked distances: ``(1 - lambda_value) * Jaccard + lambda_value * original``.

    "original" is the squared distance over the largest squared distance of the query to any image,
    query or gallery; "Jaccard" compares the weighted sets of k-reciprocal neighbours. As in the
    released code, the metric's distance is squared, so ``"squared_euclidean"`` is squared twice.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16, finite.
        gallery: Features of shape (G, D), same dtype and device.
        k1: Neighbours of an image that count besides itself, from 1 to Q + G - 1.
        k2: Nearest images, itself included, over which weights are averaged; 1: none is.
        lambda_value: Weight of the original distance, in [0, 1].
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.

    Returns:
        Distances of shape (Q, G) in [0, 1], float32 for half inputs. Not differentiable. Equal
        distances between images are ordered by index, queries first. Besides the result, memory is
        O(Q + G): a copy of the features, some hundred bytes per image and neighbour, and one tile.

    Raises:
        RuntimeError: a shape, dtype, device, metric or number that does not fit, by name.
    """
    code = code_of("k_reciprocal: metric", metric, METRICS)
    return torch.ops.reid_ext.k_reciprocal.default(
        computed(query), computed(gallery), k1, k2, float(lambda_value), code
    )


@torch.library.register_fake("reid_ext::k_reciprocal")
def _(query, gallery, k1, k2, lambda_value, metric):
    return query.new_empty(query.shape[0], gallery.shape[0])


no_gradient("k_reciprocal")
for _device in ("cuda", "cpu"):
    torch.library.register_autocast("reid_ext::k_reciprocal", _device, torch.float32)
