"""The pairwise losses by the formulas of their papers, in float64 with full matrices of pairs.

Automatic differentiation gives the gradients. Each function takes features and labels. Optional
keys replace the batch as the rows to compare with, as in the losses of reid_ext.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from reference.choices import away_from_kink, hardest
from reference.distances import cosines, distances, unit


class Pairs:
    """The rows, the keys that they are compared with, and masks of positives and negatives."""

    def __init__(self, x, labels, keys=None, key_labels=None, groups=None, key_groups=None):
        own = keys is None
        if own:
            keys, key_labels, key_groups = x, labels, groups
        self.x, self.y = x.double(), keys.double()
        same = labels[:, None] == key_labels
        may = torch.ones_like(same)
        if own:
            may.fill_diagonal_(False)
        if groups is not None:
            may &= groups[:, None] != key_groups
        self.positive, self.negative = same & may, ~same & may
        self.anchors = self.positive.any(1) & self.negative.any(1)

    def of_anchors(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The values, positives and negatives of the rows that have both."""
        return values[self.anchors], self.positive[self.anchors], self.negative[self.anchors]

    def nothing(self) -> Tensor:
        """A zero whose gradient is zero."""
        return self.x.sum() * 0

    def hardest(self, values: Tensor, among: Tensor, largest: bool) -> Tensor:
        return hardest(values, among, largest, self.x, self.y)


# --- expAT: arXiv:2006.00878, eq. 10 -----------------------------------------------------------


def triplet_exponents(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0):
    """The exponent of each given triplet."""
    a, p, n = unit(anchor), unit(positive), unit(negative)
    return away_from_kink((a * n).sum(-1)).clamp(min=0) - (a * p).sum(-1) + margin


def aggregated(exponents: Tensor, aggregation: str) -> Tensor:
    """The aggregated loss; zero without a triplet."""
    if aggregation == "none":
        return exponents.exp()
    if not len(exponents):
        return exponents.sum()
    return exponents.mean().exp() if aggregation == "exp_of_mean" else exponents.exp().mean()


def expat(x, labels, keys=None, key_labels=None, *, aggregation="mean_of_exp") -> Tensor:
    """expAT over the hardest triplet of each anchor."""
    return aggregated(_hardest_exponents(Pairs(x, labels, keys, key_labels), 1.0), aggregation)


def expat_of_modalities(
    x,
    labels,
    modalities,
    keys=None,
    key_labels=None,
    key_modalities=None,
    *,
    alpha=1.0,
    beta=1.0,
    margin=1.0,
    aggregation="mean_of_exp",
) -> Tensor:
    """expAT from each of two modalities to the other."""
    pairs = Pairs(x, labels, keys, key_labels, modalities, key_modalities)
    each, total = _hardest_exponents(pairs, margin), pairs.nothing()
    for modality, weight in ((0, alpha), (1, beta)):
        of_one = each[modalities[pairs.anchors] == modality]
        total = total + weight * aggregated(of_one, aggregation)
    return total


def _hardest_exponents(pairs: Pairs, margin: float) -> Tensor:
    cosine, positive, negative = pairs.of_anchors(cosines(pairs.x, pairs.y))
    if not len(cosine):
        return cosine.sum(1)  # no entries, and a gradient of zero
    nearest = away_from_kink(pairs.hardest(cosine, negative, True))
    return nearest.clamp(min=0) - pairs.hardest(cosine, positive, False) + margin


# --- other losses ------------------------------------------------------------------------------


def triplet(
    x, labels, keys=None, key_labels=None, *, margin: float | None = 0.3, metric="euclidean"
) -> Tensor:
    """Batch-hard triplet loss: arXiv:1703.07737, eq. 5; the soft margin if margin is None."""
    pairs = Pairs(x, labels, keys, key_labels)
    d, positive, negative = pairs.of_anchors(distances(pairs.x, pairs.y, metric))
    if not len(d):
        return pairs.nothing()
    gap = pairs.hardest(d, positive, True) - pairs.hardest(d, negative, False)
    if margin is None:
        return F.softplus(gap).mean()
    return away_from_kink(gap + margin).clamp(min=0).mean()


def contrastive(x, labels, keys=None, key_labels=None, *, margin=1.0) -> Tensor:
    """The mean over pairs of d**2 / 2 for positives and max(margin - d, 0)**2 / 2 for negatives."""
    pairs = Pairs(x, labels, keys, key_labels)
    d = distances(pairs.x, pairs.y)
    of_negative = (margin - d).clamp(min=0).square()[pairs.negative].sum()
    number = int(pairs.positive.sum() + pairs.negative.sum())
    return (d.square()[pairs.positive].sum() + of_negative) / 2 / max(number, 1)


def circle(x, labels, keys=None, key_labels=None, *, m=0.25, gamma=128.0) -> Tensor:
    """Circle loss: arXiv:2002.10857, eq. 6."""
    pairs = Pairs(x, labels, keys, key_labels)
    s, positive, negative = pairs.of_anchors(cosines(pairs.x, pairs.y))
    if not len(s):
        return pairs.nothing()
    a_p, a_n = (1 + m - s.detach()).clamp(min=0), (s.detach() + m).clamp(min=0)
    pull = _log_sum_exp(-gamma * a_p * (s - 1 + m), positive)
    push = _log_sum_exp(gamma * a_n * (s - m), negative)
    return F.softplus(pull + push).mean()


def multi_similarity(
    x, labels, keys=None, key_labels=None, *, alpha=2.0, beta=50.0, base=0.5, epsilon=0.1
) -> Tensor:
    """Multi-similarity loss: arXiv:1904.06627, eq. 11, 12 and 15."""
    pairs = Pairs(x, labels, keys, key_labels)
    s, positive, negative = pairs.of_anchors(cosines(pairs.x, pairs.y))
    if not len(s):
        return pairs.nothing()
    seen = s.detach()
    nearest_negative = torch.where(negative, seen, -torch.inf).amax(1, keepdim=True)
    farthest_positive = torch.where(positive, seen, torch.inf).amin(1, keepdim=True)
    near, far = seen - epsilon - nearest_negative, seen + epsilon - farthest_positive
    away_from_kink(near[positive]), away_from_kink(far[negative])
    pull = _log_one_plus(-alpha * (s - base), positive & (near < 0)) / alpha
    push = _log_one_plus(beta * (s - base), negative & (far > 0)) / beta
    return (pull + push).mean()


def _log_sum_exp(values: Tensor, among: Tensor) -> Tensor:
    """The logarithm of the sum of exponentials of the masked values of each row."""
    return torch.where(among, values, -torch.inf).logsumexp(1)


def _log_one_plus(values: Tensor, among: Tensor) -> Tensor:
    """log(1 + the sum of exponentials of the masked values) of each row."""
    one = values.new_zeros(len(values), 1)  # exp(0)
    return _log_sum_exp(torch.cat([one, values], 1), torch.cat([one == 0, among], 1))


def divergence(p: Tensor, q: Tensor, alpha: float) -> Tensor:
    """D(p || q) = p log(alpha p / ((alpha - 1) p + q)), with 0 log 0 = 0."""
    safe = torch.where(p == 0, 1, p)
    return torch.where(p == 0, 0, p * torch.log(alpha * safe / ((alpha - 1) * safe + q)))


def fidi(
    x,
    labels,
    keys=None,
    key_labels=None,
    *,
    alpha=1.05,
    beta=0.5,
    normalize=False,
    aggregation="mean",
) -> Tensor:
    """FIDI: arXiv:2009.10295, D(U || K) + D(K || U) over the pairs."""
    pairs = Pairs(x, labels, keys, key_labels)
    x, y = (unit(pairs.x), unit(pairs.y)) if normalize else (pairs.x, pairs.y)
    i, j = (pairs.positive | pairs.negative).nonzero().unbind(1)
    u = torch.exp(-beta * (x[i] - y[j]).norm(dim=1))
    k = pairs.positive[i, j].double()
    total = (divergence(u, k, alpha) + divergence(k, u, alpha)).sum()
    return total / (max(len(i), 1) if aggregation == "mean" else 1)


def center(x: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    """The mean squared distance of each row to the centre of its identity."""
    return (x - centers[labels]).square().sum(1).mean()
