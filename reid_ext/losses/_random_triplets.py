"""Samples a random positive and negative for every anchor, without an N x M matrix.

The keys are sorted by group and identity, so the keys of one identity are contiguous. A positive is
a random position among those of the anchor's identity. A negative is a random position of the same
group outside them. No step waits for a GPU.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Triplets(NamedTuple):
    """Indices of the sampled keys, and whether they are valid; each of shape (N,).

    An anchor without a positive or a negative has ``valid`` False and indices that are in range
    but have no meaning.
    """

    positive: Tensor
    negative: Tensor
    valid: Tensor


def draw_triplets(
    labels: Tensor,
    key_labels: Tensor | None,
    groups: Tensor | None,
    key_groups: Tensor | None,
    generator: torch.Generator | None,
) -> Triplets:
    """Sample both uniformly, with ``groups`` only from keys of the other group (0 or 1).

    If ``key_labels`` is None, the anchors are the keys and no row is its own positive.
    """
    own = key_labels is None
    key_labels = labels if key_labels is None else key_labels
    n, m = len(labels), len(key_labels)
    if m == 0:
        nowhere = torch.zeros_like(labels)
        return Triplets(nowhere, nowhere, nowhere.bool())
    group, key_group = torch.zeros_like(labels), torch.zeros_like(key_labels)
    if groups is not None:  # the group to sample from, and the group of each key
        group, key_group = 1 - groups, groups if key_groups is None else key_groups
    known = key_labels.sort().values
    key_code = torch.searchsorted(known, key_labels)
    code = torch.searchsorted(known, labels)
    code = torch.where(
        known[code.clamp(max=m - 1)] == labels, code, m
    )  # m: no key has this identity
    order = torch.argsort(key_group * (m + 1) + key_code, stable=True)
    place = (key_group * (m + 1) + key_code)[order]

    def before(value: Tensor) -> Tensor:
        return torch.searchsorted(place, value)

    first, end = before(group * (m + 1) + code), before(group * (m + 1) + code + 1)
    start, stop = before(group * (m + 1)), before((group + 1) * (m + 1))
    of_itself = 1 if own and groups is None else 0
    positives, negatives = end - first - of_itself, (stop - start) - (end - first)
    chance = torch.empty(2, n, device=labels.device, dtype=torch.float64)
    chance.uniform_(generator=generator)  # torch.rand would be compiled again for every n
    positive = first + (chance[0] * positives.clamp(min=1)).long()
    if of_itself:
        own_place = torch.empty_like(order).scatter_(0, order, torch.arange(m, device=order.device))
        positive += positive >= own_place
    negative = start + (chance[1] * negatives.clamp(min=1)).long()
    negative = torch.where(negative >= first, negative + (end - first), negative)
    valid = (positives > 0) & (negatives > 0)
    return Triplets(order[positive.clamp(max=m - 1)], order[negative.clamp(max=m - 1)], valid)
