"""Multi-query search: one feature for all images that a camera has of a person."""

import torch
from torch import Tensor

from reid_ext._runtime.arguments import Array, choice, integers, matrix

POOLINGS = ("mean", "max")


def pool_queries(
    query: Array, *, query_ids: Array, query_cameras: Array, pooling: str = "mean"
) -> tuple[Tensor, Tensor, Tensor]:
    """Return one feature per identity and camera, with these, in ascending order of them.

    Args:
        query: Features of shape (N, D) of all images to pool, in Market-1501 those of the folder
            gt_bbox. Normalise them first if their lengths are not to weigh.
        query_ids: Identities of shape (N,).
        query_cameras: Cameras of shape (N,).
        pooling: ``"mean"`` or ``"max"``, of each element.

    Returns:
        Features (M, D) of the dtype of ``query``, identities (M,) and cameras (M,), for
        :func:`evaluate`.

    Raises:
        ArgumentError: an invalid argument.

    Source:
        Zheng et al. 2015 (Market-1501), sec. 4.1: multiple queries, average and max pooling.
    """
    where = "pool_queries"
    choice(where, "pooling", pooling, POOLINGS)
    x = matrix(where, "query", query)
    labels = torch.stack(
        [
            integers(where, name, values, len(x), "query", x.device)
            for name, values in (("query_ids", query_ids), ("query_cameras", query_cameras))
        ],
        1,
    )
    groups, group = labels.unique(dim=0, return_inverse=True)
    wide = x if x.dtype == torch.float64 else x.float()
    pooled = wide.new_zeros(len(groups), x.shape[1])
    index = group[:, None].expand_as(wide)
    how = "mean" if pooling == "mean" else "amax"
    pooled.scatter_reduce_(0, index, wide, how, include_self=False)
    return pooled.to(x.dtype), groups[:, 0], groups[:, 1]
