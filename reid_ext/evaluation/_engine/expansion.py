"""Query expansion and database augmentation: features averaged with those of their neighbours."""

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import ops


def expand_queries(query: Tensor, gallery: Tensor, k2: int, alpha: float) -> Tensor:
    """Unit queries, each summed with its ``k2 - 1`` nearest gallery images; all rows are unit.

    A neighbour weighs its cosine to the power ``alpha``, and nothing where that is negative.
    Source: Radenović et al. 2018, arXiv:1711.02512, sec. 3.4.
    """
    if k2 == 1:
        return query
    found = ops.nearest(query, k2 - 1, keys=gallery)
    return F.normalize(query + _weighted_sum(gallery, found, alpha))


def augment_gallery(gallery: Tensor, k2: int, alpha: float) -> Tensor:
    """Unit gallery images, each the same sum over its ``k2`` nearest, itself among them.

    Source: Arandjelović and Zisserman 2012, CVPR, sec. 5, with the weights above.
    """
    return F.normalize(_weighted_sum(gallery, ops.nearest(gallery, k2), alpha))


def _weighted_sum(keys: Tensor, found: ops.Nearest, alpha: float) -> Tensor:
    weights = (1 - found.distances).clamp(min=0) ** alpha
    total = torch.zeros(len(weights), keys.shape[1], dtype=keys.dtype, device=keys.device)
    for rank in range(weights.shape[1]):  # (N, D) at a time, never (N, k2, D)
        total.addcmul_(weights[:, rank, None], keys[found.indices[:, rank]])
    return total
