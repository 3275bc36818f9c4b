"""One call of every op and loss, for the tests of streams, graphs and threads on a GPU."""

import torch
from torch.nn import functional as F

from reid_ext import losses, ops

ROWS, DIM, IDENTITIES, VIEWS = 96, 64, 24, 3


def batch(device, rows=ROWS):
    """Features, and labels with four images of each identity."""
    x = F.normalize(torch.randn(rows, DIM, device=device))
    return x, torch.arange(rows, device=device) // 4


def lists(queries, gallery, device):
    """Two listed gallery images for each query."""
    offsets = torch.arange(0, 2 * queries + 1, 2, device=device)
    first = torch.arange(queries, device=device) % (gallery // 2)
    return ops.Lists(offsets, torch.stack([first, first + gallery // 2], 1).flatten())


def rank_block(query, gallery):
    """The ranks of one block of queries, computed as in the evaluation."""
    positives = lists(len(query), len(gallery), query.device)
    nothing = ops.Lists(torch.zeros_like(positives.offsets), positives.indices[:0])
    return ops.rank_positives(query, gallery, positives, nothing)


def stream_block(query, block):
    """The counts of one block of a gallery in blocks."""
    positives = lists(len(query), len(block), query.device)
    of_query = torch.arange(len(query), device=query.device).repeat_interleave(2)
    values = ops.pair_values(query, block, of_query, positives.indices)
    return ops.count_before(query, block, 0, values, positives, positives)


def mine_many(x, labels):
    """Distances to the hardest of more keys than one kernel processes."""
    keys, key_labels = x.detach().repeat(4, 1), labels.repeat(4)
    return torch.stack(ops.mine_hardest(x, labels, keys=keys, key_labels=key_labels)[2:])


OPS = {  # functions of features and labels, whose results are compared bit by bit
    "cosine_matrix": lambda x, y: ops.cosine_matrix(x),
    "angles": lambda x, y: ops.cosine_matrix(x, angle=True),
    "expat": lambda x, y: ops.expat_loss(x, y),
    "expat_triplet": lambda x, y: ops.expat_triplet_loss(x, x.roll(1, 0), x.roll(9, 0)),
    "fidi": lambda x, y: ops.fidi_loss(x, y),
    "mining": lambda x, y: torch.stack(ops.mine_hardest(x, y)[2:]),
    "mining_of_many": mine_many,
    "viewpoint": lambda x, y: ops.viewpoint_loss(x[:, :63], y % 21, y % VIEWS, num_views=VIEWS),
    "label_smoothing": lambda x, y: ops.adaptive_label_smoothing_loss(x, y),
    "ranking": lambda x, y: rank_block(x[:32], x[32:]),
    "streaming": lambda x, y: stream_block(x[:32], x[32:]),
    "nearest": lambda x, y: ops.nearest(x, count=10)[1],
    "rerank": lambda x, y: ops.k_reciprocal(x[:32], x[32:], k1=6, k2=3),
    "jaccard": lambda x, y: ops.jaccard(x, k1=6, k2=3)[2],
}
WITH_GRADIENT = [
    *("cosine_matrix", "angles", "expat", "expat_triplet", "fidi"),
    *("mining", "mining_of_many", "viewpoint", "label_smoothing"),
]
WAITS = ["nearest", "rerank", "jaccard"]  # these wait for list lengths; no CUDA graph


def modules(device):
    """The losses that take only features and labels."""
    return {
        "expat": losses.ExpATLoss(),
        "triplet": losses.TripletLoss(),
        "soft_triplet": losses.TripletLoss(margin=None),
        "fidi": losses.FIDILoss(),
        "contrastive": losses.ContrastiveLoss(),
        "circle": losses.CircleLoss(),
        "multi_similarity": losses.MultiSimilarityLoss(),
        "center": losses.CenterLoss(IDENTITIES, DIM).to(device),
        "label_smoothing": losses.AdaptiveLabelSmoothingLoss(),
    }


def with_gradient(run, x, labels):
    """The result of ``run`` and the gradient of its sum."""
    leaf = x.detach().requires_grad_()
    result = run(leaf, labels)
    (gradient,) = torch.autograd.grad(result.sum(), leaf)
    return result.detach(), gradient
