"""The losses as their papers write them, in float64 and row by row; automatic differentiation
does the rest."""

import torch
from torch import Tensor
from torch.nn import functional as F

# Whether the choices of the last formula are the same under a little rounding.
clear = True
CLEARLY = 1e-4


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

    def anchors(self) -> list[int]:
        """Those with a positive and a negative."""
        return (self.positive.any(1) & self.negative.any(1)).nonzero()[:, 0].tolist()


def hardest(values: Tensor, among: Tensor, largest: bool, rows: Tensor) -> Tensor:
    """The largest or smallest of the values in the mask; of equal ones the first.

    Of nearly equal values any may be chosen, but for rows that are the same and of whole numbers:
    their products are exact, and so are their ties.
    """
    global clear
    chosen = values[among]
    target = chosen.detach().max() if largest else chosen.detach().min()
    near = ((chosen.detach() - target).abs() <= CLEARLY).nonzero()[:, 0]
    candidates = rows.detach()[among][near]
    exact = bool((rows.detach() == rows.detach().round()).all())
    clear &= len(near) == 1 or (exact and bool((candidates == candidates[0]).all()))
    return chosen[near[0]]


def apart(value: Tensor, kink: float = 0.0) -> Tensor:
    """The value, noting whether it is near where its derivative jumps."""
    global clear
    clear &= bool((value.detach() - kink).abs() > CLEARLY)
    return value


def aggregate(exponents: list[Tensor], of_mean: bool, x: Tensor) -> Tensor:
    if not exponents:
        return x.sum() * 0
    values = torch.stack(exponents)
    return values.mean().exp() if of_mean else values.exp().mean()


def exponent(
    cosine: Tensor, positive: Tensor, negative: Tensor, rows: Tensor, margin: float = 1.0
) -> Tensor:
    s_n = apart(hardest(cosine, negative, True, rows))
    return s_n.clamp(min=0) - hardest(cosine, positive, False, rows) + margin


def expat(pairs: Pairs, of_mean: bool = False) -> Tensor:
    cosine = cosines(pairs.x, pairs.y)
    each = [
        exponent(cosine[i], pairs.positive[i], pairs.negative[i], pairs.y) for i in pairs.anchors()
    ]
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
    cosine, total = cosines(x, x), x.sum() * 0
    for modality, weight in ((0, alpha), (1, beta)):
        each = []
        for i in (modalities == modality).nonzero()[:, 0].tolist():
            other = modalities != modality
            positive, negative = other & (labels == labels[i]), other & (labels != labels[i])
            if positive.any() and negative.any():
                each.append(exponent(cosine[i], positive, negative, x, margin))
        total = total + weight * aggregate(each, aggregation == "exp_of_mean", x)
    return total


def expat_of_triplets(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    a, p, n = unit(anchor), unit(positive), unit(negative)
    each = [apart(a[i] @ n[i]).clamp(min=0) - a[i] @ p[i] + 1 for i in range(len(a))]
    return aggregate(each, False, anchor)


def triplet(pairs: Pairs, margin: float | None, power: int = 1) -> Tensor:
    d, each = distances(pairs.x, pairs.y, power), []
    for i in pairs.anchors():
        farthest = hardest(d[i], pairs.positive[i], True, pairs.y)
        gap = farthest - hardest(d[i], pairs.negative[i], False, pairs.y)
        each.append(F.softplus(gap) if margin is None else apart(gap + margin).clamp(min=0))
    return torch.stack(each).mean() if each else pairs.x.sum() * 0


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


def circle(pairs: Pairs, gamma: float, m: float = 0.25) -> Tensor:
    s, each = cosines(pairs.x, pairs.y), []
    for i in pairs.anchors():
        s_p, s_n = s[i][pairs.positive[i]], s[i][pairs.negative[i]]
        a_p, a_n = (1 + m - s_p.detach()).clamp(min=0), (s_n.detach() + m).clamp(min=0)
        pull, push = -gamma * a_p * (s_p - 1 + m), gamma * a_n * (s_n - m)
        each.append(F.softplus(pull.logsumexp(0) + push.logsumexp(0)))
    return torch.stack(each).mean() if each else pairs.x.sum() * 0


def multi_similarity(pairs: Pairs, alpha: float = 2, beta: float = 50, base: float = 0.5) -> Tensor:
    s, each, epsilon = cosines(pairs.x, pairs.y), [], 0.1
    for i in pairs.anchors():
        s_p, s_n = s[i][pairs.positive[i]], s[i][pairs.negative[i]]
        p = s_p[apart_all(s_p.detach() - epsilon - s_n.detach().max()) < 0]
        n = s_n[apart_all(s_n.detach() + epsilon - s_p.detach().min()) > 0]
        zero = s_p.new_zeros(1)
        pull = torch.cat([zero, -alpha * (p - base)]).logsumexp(0) / alpha
        each.append(pull + torch.cat([zero, beta * (n - base)]).logsumexp(0) / beta)
    return torch.stack(each).mean() if each else pairs.x.sum() * 0


def apart_all(values: Tensor) -> Tensor:
    for value in values:
        apart(value)
    return values


def smoothing(logits: Tensor, labels: Tensor, alpha: float, variant: str) -> Tensor:
    log_q, total = logits.log_softmax(1), logits.sum() * 0
    for i, y in enumerate(labels.tolist()):
        q, others = log_q[i].detach().exp(), logits.shape[1] - 1
        wrong = alpha * (1 - q[y])
        label = (
            alpha * (1 - q) / others if variant == "released" else (wrong / others).expand(len(q))
        )
        label = label.clone()
        label[y] = 1 - wrong + (label[y] if variant == "released" else 0)
        total = total - (label * log_q[i]).sum()
    return total / max(len(labels), 1)


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
    total, number = logits.sum() * 0, int(exist.sum())
    for i in (views >= 0).nonzero()[:, 0].tolist():
        z, y, v = logits[i].view(classes, num_views), int(labels[i]), int(views[i])
        log_r = z - z[exist].logsumexp(0)
        r, of_y = torch.where(exist, log_r.detach(), -torch.inf).exp(), int(exist[y].sum())
        label = torch.zeros_like(r)
        if targets == "adaptive":
            e1 = alpha * (1 - r[y].sum()) if number > of_y else 0.0
            e2 = alpha * (1 - r[y, v]) if of_y > 1 else 0.0
            label[:] = e1 / max(number - of_y, 1)
            label[y] = e2 / max(of_y - 1, 1)
            label[y, v] = 1 - e1 - e2
        elif targets == "fixed":
            label[y] = 0.3 / max(of_y - 1, 1)
            label[y, v] = 0.6 if of_y > 1 else 0.9
            label += 0.1 / number
        else:
            label[y, v] = 1
        total = total - (label * log_r)[exist].sum()
    return total / max(int((views >= 0).sum()), 1)
