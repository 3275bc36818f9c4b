"""Re-ranking by the formulas of the papers, as dense float64 matrices.

k-reciprocal encoding: Zhong et al. 2017, section 3. Query expansion: Radenovic et al. 2018.
Database augmentation: Arandjelovic and Zisserman 2012. Graph propagation: Zhang et al. 2020.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from reference.distances import unit


def k_reciprocal(d: Tensor, queries: int, k1: int, k2: int, lambda_value: float) -> Tensor:
    """Re-ranked distances (Q, G) from the distances (N, N) of all images, queries first.

    Row i contains the distances of image i. A row of zeros is not normalised.
    """
    d = d.cpu().double()
    largest = d.square().amax(1, keepdim=True)
    p = d.square() / torch.where(largest == 0, 1, largest)
    jaccard = jaccard_distances(encoded(p, p.argsort(dim=1, stable=True), k1, k2), queries)
    return ((1 - lambda_value) * jaccard + lambda_value * p[:queries])[:, queries:]


def released(q_g, q_q, g_g, k1: int, k2: int, lambda_value: float) -> Tensor:
    """Zhong's released function, which reads the distances of an image from a column."""
    q_g, q_q, g_g = (torch.as_tensor(m).double() for m in (q_g, q_q, g_g))
    whole = torch.cat([torch.cat([q_q, q_g], 1), torch.cat([q_g.T, g_g], 1)])
    return k_reciprocal(whole.T, len(q_q), k1, k2, lambda_value)


def jaccard(x: Tensor, k1: int, k2: int, clustering: bool) -> Tensor:
    """Jaccard distances (N, N) between all images.

    For clustering, the released code of the clustering papers uses only the k1 nearest neighbours,
    including the image itself, and does not divide the distances by the largest.
    """
    x = x.cpu().double()
    d = (x[:, None] - x).square().sum(2)
    order = d.argsort(dim=1, stable=True)
    if clustering:
        return jaccard_distances(encoded(d, order[:, :k1], k1, k2))
    largest = d.amax(1, keepdim=True)
    return jaccard_distances(
        encoded((d / torch.where(largest == 0, 1, largest)) ** 2, order, k1, k2)
    )


def encoded(p: Tensor, order: Tensor, k1: int, k2: int) -> Tensor:
    """The encoding V: exp(-p) on the expanded k1-reciprocal sets, averaged over the k2 nearest."""
    n = len(p)

    def reciprocal(k: int) -> Tensor:
        forward = torch.zeros(n, n, dtype=torch.bool).scatter_(1, order[:, : k + 1], True)
        return forward & forward.T

    wide = reciprocal(k1)
    half = reciprocal(round(k1 / 2)).double()  # half to even, as in the released code
    shared = wide.double() @ half.T  # (i, c): |R(i, k1) and R(c, k1 / 2)|
    expanding = wide & (3 * shared > 2 * half.sum(1))
    members = wide | (expanding.double() @ half > 0)
    v = torch.where(members, -p, -torch.inf).softmax(1)
    v = torch.where(
        members.any(1, keepdim=True), v, 0
    )  # the set of more than k1 duplicates is empty
    return v if k2 == 1 else v[order[:, :k2]].mean(1)


def jaccard_distances(v: Tensor, rows: int | None = None) -> Tensor:
    """One minus intersection over union of the weights, for the first rows with all rows."""
    shared = torch.stack([torch.minimum(row, v).sum(1) for row in v[:rows]])
    return 1 - shared / (2 - shared)


def expanded(query: Tensor, gallery: Tensor, method: str, k2: int, alpha: float):
    """Unit features after query expansion (aqe) or database augmentation (dba)."""
    q, g = unit(query.double()), unit(gallery.double())
    if method == "aqe":
        return unit(q + _weighted_sums(q, g, k2 - 1, alpha)), g
    return q, unit(_weighted_sums(g, g, k2, alpha))


def _weighted_sums(x: Tensor, keys: Tensor, count: int, alpha: float) -> Tensor:
    """For each row, the sum of its nearest keys with weights cosine ** alpha."""
    total = torch.zeros_like(x)
    for row, cosine in enumerate(x @ keys.T):
        for key in cosine.argsort(descending=True)[:count].tolist():
            total[row] += max(cosine[key].item(), 0) ** alpha * keys[key]
    return total


def gnn(x: Tensor, queries: int, k1: int, k2: int) -> Tensor:
    """Distances (Q, G) after propagating the neighbourhoods twice over the k2 nearest images."""
    rows = unit(x.double())
    cosine = rows @ rows.T
    order = cosine.argsort(dim=1, descending=True, stable=True)
    adjacency = torch.zeros_like(cosine).scatter_(1, order[:, :k1], 1)
    passing = torch.zeros_like(cosine).scatter_(1, order[:, :k2], 1) * cosine**2
    for _ in range(2 if k2 > 1 else 0):
        adjacency = F.normalize(passing @ (adjacency + adjacency.T))
    adjacency = F.normalize(adjacency)
    return 1 - adjacency[:queries] @ adjacency[queries:].T
