"""Query expansion and database augmentation: features averaged with those of their neighbours."""

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import ops


def expand_queries(query: Tensor, gallery: Tensor, k2: int, alpha: float) -> Tensor:
    """Return unit queries, each summed with its ``k2 - 1`` nearest gallery images.

    All input rows have unit length. The weight of a neighbour is its cosine to the power ``alpha``,
    and 0 for a negative cosine. Source: Radenović et al. 2018, arXiv:1711.02512, sec. 3.4.
    """
    if k2 == 1:
        return query
    found = ops.nearest(query, k2 - 1, keys=gallery)
    return F.normalize(query + _weighted_sum(gallery, found, alpha))


def augment_gallery(gallery: Tensor, k2: int, alpha: float) -> Tensor:
    """Return unit gallery images, each summed over its ``k2`` nearest images, including itself.

    The weights are those of :func:`expand_queries`. Source: Arandjelović and Zisserman 2012, CVPR,
    sec. 5.
    """
    return F.normalize(_weighted_sum(gallery, ops.nearest(gallery, k2), alpha))


def _weighted_sum(keys: Tensor, found: ops.Nearest, alpha: float) -> Tensor:
    weights = (1 - found.distances).clamp(min=0) ** alpha
    total = torch.zeros(len(weights), keys.shape[1], dtype=keys.dtype, device=keys.device)
    for rank in range(weights.shape[1]):  # stores (N, D) at a time, not (N, k2, D)
        total.addcmul_(weights[:, rank, None], keys[found.indices[:, rank]])
    return total
