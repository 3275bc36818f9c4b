"""Times the VA-reID softmax losses, forward and backward, compared with plain PyTorch.

    python benchmarks/viewpoint.py                # one CPU thread, CPU seconds
    python benchmarks/viewpoint.py --device cuda --json benchmarks/results/viewpoint.json

"labels" multiplies log_softmax by an (N, classes) tensor of labels, as released code does. "sums"
is torch without that tensor: it uses log_softmax, its row sums and a gather, or
``F.cross_entropy`` for hard labels. The last two columns are their times divided by ours. All
three agree to float32 rounding, which is checked before they are timed.
"""

import measure
import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import ops

ROWS, IDENTITIES, ALPHA = (64, 256, 1024), 1041, 0.25  # IDENTITIES is that of MSMT17's training set


def adaptive(own: Tensor, identity: Tensor, num_views: int) -> tuple[Tensor, Tensor, Tensor]:
    """The label of the own class, that of each other view, and the sum of the other labels."""
    e1 = ALPHA * (1 - identity)
    e2 = ALPHA * (1 - own) if num_views > 1 else torch.zeros_like(own)
    return 1 - e1 - e2, e2 / max(num_views - 1, 1), e1


def siblings_of(labels: Tensor, num_views: int) -> Tensor:
    return labels[:, None] * num_views + torch.arange(num_views, device=labels.device)


def label_tensor(log_r: Tensor, labels: Tensor, views: Tensor, num_views: int, targets: str):
    n, classes = log_r.shape
    rows, own = torch.arange(n, device=labels.device), labels * num_views + views
    if targets == "hard":
        return F.one_hot(own, classes).to(log_r.dtype)
    siblings = siblings_of(labels, num_views)
    if targets == "fixed":
        t = torch.full_like(log_r, 0.1 / classes)
        t.scatter_add_(1, siblings, t.new_full(siblings.shape, 0.15))
        t[rows, own] += 0.45
        return t
    r = log_r.detach().exp()
    true, view, elsewhere = adaptive(r[rows, own], r.gather(1, siblings).sum(1), num_views)
    t = (elsewhere / (classes - num_views))[:, None].repeat(1, classes)
    t.scatter_(1, siblings, view[:, None].expand(-1, num_views))
    t[rows, own] = true
    return t


def with_labels(logits, labels, views, num_views, targets):
    log_r = logits.log_softmax(1)
    return -(label_tensor(log_r, labels, views, num_views, targets) * log_r).sum(1).mean()


def with_sums(logits, labels, views, num_views, targets):
    if targets == "hard":
        return F.cross_entropy(logits, labels * num_views + views)
    classes = logits.shape[1]
    log_r = logits.log_softmax(1)
    siblings = log_r.gather(1, siblings_of(labels, num_views))
    own = siblings.gather(1, views[:, None])[:, 0]
    everywhere, identity = log_r.sum(1), siblings.sum(1)
    if targets == "fixed":
        return -(0.45 * own + 0.15 * identity + 0.1 / classes * everywhere).mean()
    with torch.no_grad():
        true, view, elsewhere = adaptive(own.exp(), siblings.exp().sum(1), num_views)
        elsewhere = elsewhere / (classes - num_views)
    parts = (true - view) * own + (view - elsewhere) * identity + elsewhere * everywhere
    return -parts.mean()


def fused(logits, labels, views, num_views, targets):
    if num_views == 1:
        return ops.adaptive_label_smoothing_loss(logits, labels, alpha=ALPHA)
    return ops.viewpoint_loss(
        logits, labels, views, num_views=num_views, alpha=ALPHA, targets=targets
    )


WAYS = {"ours": fused, "labels": with_labels, "sums": with_sums}


def step_of(loss, logits: Tensor, *batch):
    """A function that runs the loss and its backward pass and returns the gradient."""

    def run():
        logits.grad = None
        loss(logits, *batch).backward()
        return logits.grad

    return run


def row(rows: int, num_views: int, targets: str, args) -> dict:
    logits = 3 * torch.randn(rows, IDENTITIES * num_views, device=args.device)
    labels = torch.randint(IDENTITIES, (rows,), device=args.device)
    views = torch.randint(num_views, (rows,), device=args.device)
    batch = (logits.requires_grad_(), labels, views, num_views, targets)
    steps = {name: step_of(loss, *batch) for name, loss in WAYS.items()}
    want = steps["ours"]()
    for step in steps.values():
        torch.testing.assert_close(step(), want, rtol=1e-4, atol=1e-7)
    seconds = measure.alternately(steps, args)
    return {
        "labels": targets,
        "N": rows,
        "classes": f"{IDENTITIES} x {num_views}",
        **{f"{name} ms": 1e3 * seconds[name] for name in WAYS},
        "labels / ours": seconds["labels"] / seconds["ours"],
        "sums / ours": seconds["sums"] / seconds["ours"],
    }


def main():
    args = measure.arguments(__doc__)
    torch.manual_seed(0)
    kinds = [(1, "adaptive"), (3, "adaptive"), (3, "fixed"), (3, "hard")]
    measure.show([row(n, views, kind, args) for views, kind in kinds for n in ROWS], args)


if __name__ == "__main__":
    main()
