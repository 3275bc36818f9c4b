"""Ranks of every query's positives, from which CMC, AP and INP are computed.

A rank is a count of nearer gallery images, so nothing is sorted and no distance matrix is stored.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, computed, described
from reid_ext._runtime.kernels import code_of, kernel
from reid_ext.ops._autograd import no_gradient
from reid_ext.ops._contract import METRICS, fake

COMPUTES = ("exact", "approximate")


class Lists(NamedTuple):
    """One list of gallery indices per query, concatenated.

    Attributes:
        offsets: int64 of shape (Q + 1,). The list of query q is
            ``indices[offsets[q]:offsets[q + 1]]``.
        indices: Gallery indices, int64, ascending within the list of a query.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> lists = ops.Lists(offsets=torch.tensor([0, 2, 3]), indices=torch.tensor([4, 7, 5]))
        >>> lists.indices[lists.offsets[0]:lists.offsets[1]]  # the list of query 0
        tensor([4, 7])
    """

    offsets: Tensor
    indices: Tensor


def rank_positives(
    query: Tensor,
    gallery: Tensor,
    positives: Lists,
    junk: Lists,
    *,
    metric: str = "cosine",
    compute: str = "exact",
) -> Tensor:
    """Return the rank of each of a query's positives in the gallery without the query's junk.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16.
        gallery: Features of shape (G, D), same dtype and device.
        positives: For each query, the gallery images of its identity that count, without
            duplicates.
        junk: For each query, the gallery images to leave out of its ranking, without duplicates
            and without its positives.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``. Default: ``"cosine"``.
        compute: ``"exact"`` ranks distances in the precision of the features (float32 for half
            types). On the CPU the kernel uses bfloat16 products where those are faster, and
            computes in full precision the pairs that their rounding error leaves undecided.
            ``"approximate"`` ranks distances from bfloat16 products and does not support float64.
            Default: ``"exact"``.

    Returns:
        Ranks from 1, int64 of shape (P,). Those of query q start at ``positives.offsets[q]`` and
        are ascending. They equal the ranks of a stable sort by (distance, gallery index), with NaN
        last. The result is not differentiable. Memory is O(P) plus one block of at most 64 MiB or
        one row of the distance matrix.

    Raises:
        ArgumentError: an argument has an invalid shape, dtype, device or value. The values of the
            lists are checked on the CPU only, because on a GPU the check would wait for the
            device.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> query, gallery = torch.tensor([[0.0]]), torch.tensor([[3.0], [1.0], [2.0]])
        >>> positives = ops.Lists(torch.tensor([0, 1]), torch.tensor([2]))
        >>> no_junk = ops.Lists(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64))
        >>> ops.rank_positives(query, gallery, positives, no_junk, metric="euclidean")
        tensor([2])
        >>> junk = ops.Lists(torch.tensor([0, 1]), torch.tensor([1]))
        >>> ops.rank_positives(query, gallery, positives, junk, metric="euclidean")
        tensor([1])
    """
    name = "rank_positives"
    return _rank_positives(
        _features(name, "query", query, compute),
        _features(name, "gallery", gallery, compute),
        *_lists(name, "positives", positives),
        *_lists(name, "junk", junk),
        code_of(name, "metric", metric, METRICS),
        _compute(name, compute, query),
    )


def rank_positives_from_distances(distances: Tensor, positives: Lists, junk: Lists) -> Tensor:
    """Return the ranks of :func:`rank_positives`, given a distance matrix.

    Args:
        distances: Distances of shape (Q, G), float32, float64, bfloat16 or float16. Smaller means
            closer.
        positives: As in :func:`rank_positives`.
        junk: As in :func:`rank_positives`.

    Returns:
        Ranks from 1, int64 of shape (P,), as in :func:`rank_positives`.

    Raises:
        ArgumentError: as in :func:`rank_positives`.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> distances = torch.tensor([[3.0, 1.0, 2.0]])
        >>> positives = ops.Lists(torch.tensor([0, 2]), torch.tensor([0, 2]))
        >>> no_junk = ops.Lists(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64))
        >>> ops.rank_positives_from_distances(distances, positives, no_junk)
        tensor([2, 3])
    """
    name = "rank_positives_from_distances"
    return _rank_positives_from_distances(
        computed(name, "distances", distances),
        *_lists(name, "positives", positives),
        *_lists(name, "junk", junk),
    )


def pair_values(
    query: Tensor,
    block: Tensor,
    pair_query: Tensor,
    pair_row: Tensor,
    *,
    metric: str = "cosine",
    compute: str = "exact",
) -> Tensor:
    """Return a value for each pair (query row, block row) that orders like its distance.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16.
        block: Features of shape (B, D), a block of gallery rows, same dtype and device.
        pair_query: Row of ``query`` for each pair, int64 of shape (P,).
        pair_row: Row of ``block`` for each pair, int64 of shape (P,).
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``. Default: ``"cosine"``.
        compute: As in :func:`count_before`; ``"approximate"`` rounds the features to bfloat16.

    Returns:
        Values of shape (P,), float32 or float64. Among the pairs of one query, a smaller value
        means a smaller distance. The value is not the distance, because terms that all distances
        of a query share are left out. It is NaN if a row is not finite.

    Raises:
        ArgumentError: an argument has an invalid shape, dtype, device or (on the CPU) value.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> query, gallery = torch.tensor([[0.0]]), torch.tensor([[3.0], [1.0], [2.0]])
        >>> zeros, rows = torch.tensor([0, 0, 0]), torch.tensor([0, 1, 2])
        >>> values = ops.pair_values(query, gallery, zeros, rows, metric="euclidean")
        >>> values.argsort()  # from the nearest to the farthest row
        tensor([1, 2, 0])
    """
    name = "pair_values"
    rows = _features(name, "query", query, compute), _features(name, "block", block, compute)
    _compute(name, compute, query)  # only validates, because the kernel is the same for both
    return _pair_values(*rows, pair_query, pair_row, code_of(name, "metric", metric, METRICS))


def count_before(
    query: Tensor,
    block: Tensor,
    first: int,
    thresholds: Tensor,
    positives: Lists,
    listed: Lists,
    *,
    metric: str = "cosine",
    compute: str = "exact",
) -> Tensor:
    """Return how many images of one gallery block are ranked before each positive.

    The rank of a positive is 1, plus the number of the query's positives ranked before it, plus
    the sum of these counts over all blocks. One call per block thus ranks a gallery that does not
    fit in memory, with the same result as :func:`rank_positives`.

    Args:
        query: Features of shape (Q, D), float32, float64, bfloat16 or float16.
        block: Features of shape (B, D), same dtype and device.
        first: Gallery index of the first row of the block.
        thresholds: The :func:`pair_values` of all positives, of shape (P,).
        positives: Gallery indices of each query's positives, P in total.
        listed: Gallery indices that are not counted: each query's positives and junk, ascending.
        metric: The metric of ``thresholds``. Default: ``"cosine"``.
        compute: As in :func:`rank_positives`; the kernel decides for each block.
            Default: ``"exact"``.

    Returns:
        Counts, int64 of shape (P,). An image with the same value as a positive is counted if its
        gallery index is lower. Extra memory is a bfloat16 copy of the block, if one is made, plus
        one tile of the product of 4 MiB (CPU) or 32 MiB.

    Raises:
        ArgumentError: as in :func:`rank_positives`.

    Examples:
        >>> import torch
        >>> from reid_ext import ops
        >>> query, gallery = torch.tensor([[0.0]]), torch.tensor([[3.0], [1.0], [2.0]])
        >>> positives = ops.Lists(torch.tensor([0, 1]), torch.tensor([0]))
        >>> zero = torch.tensor([0])
        >>> threshold = ops.pair_values(query, gallery, zero, zero, metric="euclidean")
        >>> counts = [
        ...     ops.count_before(
        ...         query, gallery[rows], rows.start, threshold, positives, positives,
        ...         metric="euclidean",
        ...     )
        ...     for rows in (slice(0, 2), slice(2, 3))
        ... ]
        >>> 1 + sum(counts)  # the rank of gallery row 0
        tensor([3])
    """
    name = "count_before"
    return _count_before(
        _features(name, "query", query, compute),
        _features(name, "block", block, compute),
        first,
        thresholds,
        *reversed(_lists(name, "positives", positives)),
        *_lists(name, "listed", listed),
        code_of(name, "metric", metric, METRICS),
        _compute(name, compute, query),
    )


def _lists(function: str, argument: str, lists: Lists) -> Lists:
    """Read a pair of tensors as :class:`Lists`. The kernel checks their content."""
    if isinstance(lists, tuple) and len(lists) == 2:
        return Lists(*lists)
    requirement = "be Lists, a pair of offsets and indices"
    raise ArgumentError(function, argument, requirement, described(lists))


def _features(function: str, argument: str, x: Tensor, compute: str) -> Tensor:
    """Read features for the kernels, rounded to bfloat16 if ``compute`` is approximate."""
    x = computed(function, argument, x)
    rounds = isinstance(compute, str) and compute == "approximate" and x.dtype == torch.float32
    return x.bfloat16().float() if rounds else x


def _compute(function: str, compute: str, query: Tensor) -> int:
    """Return the kernel's code of ``compute``."""
    code = code_of(function, "compute", compute, COMPUTES)
    if compute == "approximate" and query.dtype == torch.float64:
        requirement, advice = "be 'exact' for float64 features", "call .float() on the features"
        raise ArgumentError(function, "compute", requirement, repr(compute), advice)
    return code


# Maps the arguments of the kernels to fields of the user's arguments.
_FIELDS = {
    f"{kernel}_{field}": f"{user}.{field}"
    for kernel, user in (("positive", "positives"), ("junk", "junk"), ("listed", "listed"))
    for field in ("offsets", "indices")
}
_FIELDS |= {"offsets": "positives.offsets", "indices": "positives.indices"}


def _kernel(op: str) -> Callable[..., Tensor]:
    """Return a function that calls the op and raises errors with the public argument names."""
    call = kernel(op)

    def run(*given: object) -> Tensor:
        if torch.compiler.is_compiling():
            return call(*given)
        try:
            return call(*given)
        except ArgumentError as error:
            raise error.named(op, **_FIELDS) from None

    return run


_rank_positives = _kernel("rank_positives")
_rank_positives_from_distances = _kernel("rank_positives_from_distances")
_pair_values = _kernel("pair_values")
_count_before = _kernel("count_before")


@fake("rank_positives")
def _(
    query, gallery, positive_offsets, positive_indices, junk_offsets, junk_indices, metric, compute
):
    return torch.empty_like(positive_indices)


@fake("rank_positives_from_distances")
def _(distances, positive_offsets, positive_indices, junk_offsets, junk_indices):
    return torch.empty_like(positive_indices)


@fake("pair_values")
def _(query, block, pair_query, pair_row, metric):
    return query.new_empty(len(pair_query))


@fake("count_before")
def _(
    query,
    block,
    first,
    thresholds,
    indices,
    offsets,
    listed_offsets,
    listed_indices,
    metric,
    compute,
):
    return torch.empty_like(indices)


_OF_FEATURES = ("rank_positives", "pair_values", "count_before")
for _op in (*_OF_FEATURES, "rank_positives_from_distances"):
    no_gradient(_op)
for _op in _OF_FEATURES:
    for _device in ("cuda", "cpu"):
        torch.library.register_autocast(f"reid_ext::{_op}", _device, torch.float32)
