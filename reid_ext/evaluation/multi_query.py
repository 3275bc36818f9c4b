"""Multi-query search: one pooled feature per identity and camera."""

import torch
from torch import Tensor

from reid_ext._runtime.arguments import Array, choice, integers, matrix

POOLINGS = ("mean", "max")


def pool_queries(
    query: Array, *, query_ids: Array, query_cameras: Array, pooling: str = "mean"
) -> tuple[Tensor, Tensor, Tensor]:
    """Return one pooled feature per identity and camera, sorted by identity, then camera.

    Args:
        query: Features of shape (N, D) of all images to pool. For Market-1501 these are the images
            of the folder gt_bbox. Normalise them first if all images should have the same weight.
        query_ids: Identities of shape (N,).
        query_cameras: Cameras of shape (N,).
        pooling: ``"mean"`` (default) or ``"max"``, applied to each element.

    Returns:
        Features of shape (M, D) with the dtype of ``query``, identities of shape (M,) and cameras
        of shape (M,), ready for :func:`evaluate`.

    Raises:
        ArgumentError: If an argument is invalid.

    Source:
        Zheng et al. 2015 (Market-1501), sec. 4.1: multiple queries, average and max pooling.

    Examples:
        >>> from reid_ext.evaluation import pool_queries
        >>> images = [[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]
        >>> features, ids, cameras = pool_queries(
        ...     images, query_ids=[7, 7, 7], query_cameras=[1, 1, 2]
        ... )
        >>> features.tolist(), ids.tolist(), cameras.tolist()
        ([[0.5, 0.5], [2.0, 2.0]], [7, 7], [1, 2])
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
