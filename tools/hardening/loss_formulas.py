"""The losses as their papers write them, in float64 and over whole matrices of pairs; automatic
differentiation does the rest."""

import torch
from torch import Tensor
from torch.nn import functional as F

# Whether the choices of the last formula are the same under rounding by up to ``clearly``.
clear = True
clearly = 1e-4


def cosines(x: Tensor, y: Tensor) -> Tensor:
    """A zero row has cosine 0, and no gradient."""
    return unit(x) @ unit(y).T


def unit(x: Tensor) -> Tensor:
    zero = (x == 0).all(1, keepdim=True)
    return torch.where(zero, 0, x / torch.where(zero, 1, x).norm(dim=1, keepdim=True))


def distances(x: Tensor, y: Tensor, power: int) -> Tensor:
    """Euclidean to that power; power 0: 1 - cosine. No gradient at distance 0."""
    if power == 0:
        return 1 - cosines(x, y)
    square = (x[:, None] - y).square().sum(2)
    if power == 2:
        return square
    apart = square > 0
    return torch.where(apart, torch.where(apart, square, 1).sqrt(), 0)


class Pairs:
    """The rows, what they are compared with, and who is whose positive and negative."""

    def __init__(
        self, x: Tensor, labels: Tensor, keys: Tensor | None = None, *, key_labels: Tensor | None
    ):
        self.x, self.y = x, x if keys is None else keys
        self.same = labels[:, None] == (labels if key_labels is None else key_labels)
        itself = (
            torch.eye(len(x), dtype=torch.bool) if keys is None else torch.zeros_like(self.same)
        )
        self.positive, self.negative = self.same & ~itself, ~self.same

    def of_anchors(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The values, positives and negatives of the rows that have both."""
        anchors = self.positive.any(1) & self.negative.any(1)
        return values[anchors], self.positive[anchors], self.negative[anchors]


def hardest(values: Tensor, among: Tensor, largest: bool, pairs: Pairs) -> Tensor:
    """In each row the largest or smallest of the values in the mask; of equal ones the first.

    Of nearly equal values any may be chosen, but for keys that are the same where all features are
    whole numbers: their products are exact, and so are their ties.
    """
    global clear
    sign = 1 if largest else -1
    seen = torch.where(among, sign * values.detach(), -torch.inf)
    near = among & (seen >= seen.amax(1, keepdim=True) - clearly)
    first = near.int().argmax(1)
    if bool((near.sum(1) > 1).any()):
        x, keys = pairs.x.detach(), pairs.y.detach()
        exact = bool((x == x.round()).all() and (keys == keys.round()).all())
        name = keys.unique(dim=0, return_inverse=True)[1]
        clear &= exact and not bool((near & (name != name[first][:, None])).any())
    return values.gather(1, first[:, None])[:, 0]


def apart(values: Tensor, kink: float = 0.0) -> Tensor:
    """The values, noting whether any is near where its derivative jumps."""
    global clear
    clear &= bool(((values.detach() - kink).abs() > clearly).all())
    return values


def aggregate(exponents: Tensor, of_mean: bool, x: Tensor) -> Tensor:
    if not len(exponents):
        return x.sum() * 0
    return exponents.mean().exp() if of_mean else exponents.exp().mean()


def exponents(pairs: Pairs, margin: float = 1.0) -> Tensor:
    cosine, positive, negative = pairs.of_anchors(cosines(pairs.x, pairs.y))
    if not len(cosine):
        return cosine.new_zeros(0)
    s_n = apart(hardest(cosine, negative, True, pairs))
    return s_n.clamp(min=0) - hardest(cosine, positive, False, pairs) + margin


def expat(pairs: Pairs, of_mean: bool = False) -> Tensor:
    each = exponents(pairs)
    return aggregate(each, of_mean, pairs.x)


def expat_of_modalities(
    x: Tensor,
    labels: Tensor,
    modalities: Tensor,
    alpha: float,
    beta: float,
    margin: float,
    aggregation: str,
) -> Tensor:
    pairs, total = Pairs(x, labels, key_labels=None), x.sum() * 0
    across = modalities[:, None] != modalities
    pairs.positive, pairs.negative = pairs.same & across, ~pairs.same & across
    anchors = pairs.positive.any(1) & pairs.negative.any(1)
    each = exponents(pairs, margin)
    for modality, weight in ((0, alpha), (1, beta)):
        of_one = each[modalities[anchors] == modality]
        total = total + weight * aggregate(of_one, aggregation == "exp_of_mean", x)
    return total


def expat_of_triplets(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    a, p, n = unit(anchor), unit(positive), unit(negative)
    each = apart((a * n).sum(1)).clamp(min=0) - (a * p).sum(1) + 1
    return aggregate(each, False, anchor)


def triplet(pairs: Pairs, margin: float | None, power: int = 1) -> Tensor:
    d, positive, negative = pairs.of_anchors(distances(pairs.x, pairs.y, power))
    if not len(d):
        return pairs.x.sum() * 0
    gap = hardest(d, positive, True, pairs) - hardest(d, negative, False, pairs)
    return (F.softplus(gap) if margin is None else apart(gap + margin).clamp(min=0)).mean()


def fidi(pairs: Pairs, unit: bool = False, alpha: float = 1.05, beta: float = 0.5) -> Tensor:
    x, y = (globals()["unit"](t) if unit else t for t in (pairs.x, pairs.y))
    u, c = torch.exp(-beta * distances(x, y, 1)), torch.tensor(alpha - 1, dtype=torch.float64)
    of_positive = u * torch.log(alpha * u / (c * u + 1)) + torch.log(alpha / (c + u))
    of_negative = u * torch.log(alpha / c)
    number = int(pairs.positive.sum() + pairs.negative.sum())
    return (of_positive[pairs.positive].sum() + of_negative[pairs.negative].sum()) / max(number, 1)


def contrastive(pairs: Pairs, margin: float = 1.0) -> Tensor:
    d = distances(pairs.x, pairs.y, 1)
    number = int(pairs.positive.sum() + pairs.negative.sum())
    of_negative = (margin - d).clamp(min=0).square()[pairs.negative].sum()
    return (d.square()[pairs.positive].sum() + of_negative) / 2 / max(number, 1)


def log_sum_exp(values: Tensor, among: Tensor) -> Tensor:
    """Of each row of the values in the mask."""
    return torch.where(among, values, -torch.inf).logsumexp(1)


def circle(pairs: Pairs, gamma: float, m: float = 0.25) -> Tensor:
    s, positive, negative = pairs.of_anchors(cosines(pairs.x, pairs.y))
    if not len(s):
        return pairs.x.sum() * 0
    a_p, a_n = (1 + m - s.detach()).clamp(min=0), (s.detach() + m).clamp(min=0)
    pull = log_sum_exp(-gamma * a_p * (s - 1 + m), positive)
    push = log_sum_exp(gamma * a_n * (s - m), negative)
    return F.softplus(pull + push).mean()


def multi_similarity(pairs: Pairs, alpha: float = 2, beta: float = 50, base: float = 0.5) -> Tensor:
    s, positive, negative = pairs.of_anchors(cosines(pairs.x, pairs.y))
    if not len(s):
        return pairs.x.sum() * 0
    seen, epsilon = s.detach(), 0.1
    nearest_negative = torch.where(negative, seen, -torch.inf).amax(1, keepdim=True)
    farthest_positive = torch.where(positive, seen, torch.inf).amin(1, keepdim=True)
    near, far = seen - epsilon - nearest_negative, seen + epsilon - farthest_positive
    apart(near[positive]), apart(far[negative])
    one = torch.zeros(len(s), 1, dtype=s.dtype)  # exp(0)
    always = torch.ones(len(s), 1, dtype=torch.bool)
    pull = torch.cat([one, -alpha * (s - base)], 1)
    push = torch.cat([one, beta * (s - base)], 1)
    of_positive = log_sum_exp(pull, torch.cat([always, positive & (near < 0)], 1)) / alpha
    of_negative = log_sum_exp(push, torch.cat([always, negative & (far > 0)], 1)) / beta
    return (of_positive + of_negative).mean()


def smoothing(logits: Tensor, labels: Tensor, alpha: float, variant: str) -> Tensor:
    log_q, others = logits.log_softmax(1), logits.shape[1] - 1
    q, row = log_q.detach().exp(), torch.arange(len(labels))
    wrong = alpha * (1 - q[row, labels])
    if variant == "released":
        label = alpha * (1 - q) / others
        label[row, labels] += 1 - wrong
    else:
        label = (wrong / others)[:, None].repeat(1, logits.shape[1])
        label[row, labels] = 1 - wrong
    return -(label * log_q).sum() / max(len(labels), 1)


def viewpoint(
    logits: Tensor,
    labels: Tensor,
    views: Tensor,
    present: Tensor | None,
    num_views: int,
    alpha: float,
    targets: str,
) -> Tensor:
    """VA-reID's labels over the classes (identity, view) that exist."""
    classes = logits.shape[1] // num_views
    exist = torch.ones(classes, num_views, dtype=torch.bool) if present is None else present
    known = views >= 0
    z, y, v = logits[known].view(-1, classes, num_views), labels[known], views[known]
    log_r, row = z[:, exist] - z[:, exist].logsumexp(1, keepdim=True), torch.arange(len(y))
    r = torch.zeros_like(z)
    r[:, exist] = log_r.detach().exp()
    number, of_y = float(exist.sum()), exist.sum(1).double()[y]
    label = torch.zeros_like(r)
    if targets == "adaptive":
        e1 = torch.where(number > of_y, alpha * (1 - r[row, y].sum(1)), 0)
        e2 = torch.where(of_y > 1, alpha * (1 - r[row, y, v]), 0)
        label += (e1 / (number - of_y).clamp(min=1))[:, None, None]
        label[row, y] = (e2 / (of_y - 1).clamp(min=1))[:, None]
        label[row, y, v] = 1 - e1 - e2
    elif targets == "fixed":
        label[row, y] = (0.3 / (of_y - 1).clamp(min=1))[:, None]
        label[row, y, v] = 0.9 - 0.3 * (of_y > 1).double()
        label += 0.1 / max(number, 1)  # there may be no class, and then no row
    else:
        label[row, y, v] = 1
    return -(label[:, exist] * log_r).sum() / max(len(y), 1)
