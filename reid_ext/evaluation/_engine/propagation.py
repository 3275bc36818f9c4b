"""Re-ranking by a graph neural network without learned weights.

Each image averages the neighbourhoods of its nearest images.

Source: Zhang et al. 2020, "Understanding Image Retrieval Re-Ranking: A Graph Neural Network
Perspective", arXiv:2012.07620, and its released code.
"""

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from reid_ext import ops

_LAYERS = 2
_BLOCK_ROWS = 256  # queries whose distances are computed at a time


def propagate(x: Tensor, k1: int, k2: int) -> Tensor:
    """Return neighbourhoods of unit features (N, D) as sparse unit rows (N, N), coalesced.

    The adjacency is 1 for the ``k1`` nearest images of each image, including itself. Each of two
    layers adds the transpose, sums the rows of the ``k2`` nearest images weighted by their squared
    cosines, and scales rows to unit length. With ``k2`` 1 there are no layers.
    """
    found = ops.nearest(x, k1)
    ones = torch.ones_like(found.distances)
    adjacency = _unit_rows(_matrix(found.indices, ones))
    if k2 == 1:
        return adjacency
    adjacency = _matrix(found.indices, ones)
    cosines = 1 - found.distances[:, :k2]
    passing = _matrix(found.indices[:, :k2], cosines**2)
    for _ in range(_LAYERS):
        symmetric = (adjacency + adjacency.transpose(0, 1)).coalesce()
        adjacency = _unit_rows(_product(passing, symmetric))
    return adjacency


def neighbourhood_distances(rows: Tensor, queries: int) -> Iterator[Tensor]:
    """Yield 1 - cosine of query and gallery rows; the first ``queries`` rows are queries."""
    gallery = rows.narrow_copy(0, queries, rows.shape[0] - queries).transpose(0, 1)
    for first in range(0, queries, _BLOCK_ROWS):
        block = rows.narrow_copy(0, first, min(_BLOCK_ROWS, queries - first))
        yield 1 - _product(block, gallery).to_dense()


def _matrix(indices: Tensor, values: Tensor) -> Tensor:
    """Return the sparse square matrix with ``values`` (N, k) in columns ``indices`` of each row."""
    n, k = indices.shape
    rows = torch.arange(n, device=indices.device).repeat_interleave(k)
    at = torch.stack([rows, indices.flatten()])
    return _sparse(at, values.flatten(), (n, n)).coalesce()


def _unit_rows(matrix: Tensor) -> Tensor:
    matrix = matrix.coalesce()
    rows, values = matrix.indices()[0], matrix.values()
    lengths = torch.bincount(rows, minlength=len(matrix))
    squared = torch.segment_reduce(values**2, "sum", lengths=lengths)
    unit = values / squared.sqrt()[rows]
    return _sparse(matrix.indices(), unit, matrix.shape, is_coalesced=True)


def _sparse(
    at: Tensor, values: Tensor, shape: tuple[int, ...], is_coalesced: bool = False
) -> Tensor:
    return torch.sparse_coo_tensor(
        at,
        values,
        shape,
        device=values.device,
        check_invariants=False,
        is_coalesced=is_coalesced,
    )


def _product(a: Tensor, b: Tensor) -> Tensor:
    with warnings.catch_warnings():  # torch uses its CSR type, and warns that it is in beta
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse.mm(a, b)
