"""Ranks of every query's positives: what CMC, AP and INP are made of.

Nothing is sorted and no distance matrix is kept: a rank is a count of nearer gallery images.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext.ops._autograd import no_gradient
from reid_ext.ops._contract import METRICS, code_of, computed


class Lists(NamedTuple):
    """One list of gallery indices per query, end to end.

    ``indices[offsets[q]:offsets[q + 1]]`` are those of query q, ascending; both int64, ``offsets``
    of shape (Q + 1,).
    """

    offsets: Tensor
    indices: Tensor


def rank_positives(
    query: Tensor, gallery: Tensor, positives: Lists, junk: Lists, *, metric: str = "cosine"
) -> Tensor:
    """Return the rank of each query's positives in its gallery without its junk.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16.
        gallery: Features of shape (G, D), same dtype and device.
        positives: The gallery images of the query's identity that count, each once.
        junk: Gallery images to be left out of the query's ranking, each once; no positives.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.

    Returns:
        Ranks from 1, int64 of shape (P,): of query q at ``positives.offsets[q]``, ascending. They
        are those of a stable sort by (distance, gallery index), NaN last. Not differentiable.
        Memory is O(P) and one block of at most 64 MiB, or one row of the distance matrix.

    Raises:
        RuntimeError: a shape, dtype, device, metric or list that does not fit, by name. List
            values are checked on the CPU only: on a GPU that would wait for the device.
    """
    return torch.ops.reid_ext.rank_positives.default(
        computed(query),
        computed(gallery),
        *positives,
        *junk,
        code_of("rank_positives: metric", metric, METRICS),
    )


def rank_positives_from_distances(distances: Tensor, positives: Lists, junk: Lists) -> Tensor:
    """Return the same ranks from a distance matrix of shape (Q, G), smaller is closer.

    Args:
        distances: Shape (Q, G), float32, float64, bfloat16 or float16.
        positives: As in :func:`rank_positives`.
        junk: As in :func:`rank_positives`.

    Returns:
        As :func:`rank_positives`.

    Raises:
        RuntimeError: as :func:`rank_positives`.
    """
    return torch.ops.reid_ext.rank_positives_from_distances.default(
        computed(distances), *positives, *junk
    )


@torch.library.register_fake("reid_ext::rank_positives")
def _(query, gallery, positive_offsets, positive_indices, junk_offsets, junk_indices, metric):
    return torch.empty_like(positive_indices)


@torch.library.register_fake("reid_ext::rank_positives_from_distances")
def _(distances, positive_offsets, positive_indices, junk_offsets, junk_indices):
    return torch.empty_like(positive_indices)


for _op in ("rank_positives", "rank_positives_from_distances"):
    no_gradient(_op)
for _device in ("cuda", "cpu"):
    torch.library.register_autocast("reid_ext::rank_positives", _device, torch.float32)
