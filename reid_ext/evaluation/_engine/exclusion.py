"""Pairs that a user leaves out of a ranking besides the protocol's junk: masks or functions."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from reid_ext.evaluation._engine.inputs import Array, read_mask
from reid_ext.evaluation._engine.matches import rows
from reid_ext.ops import Lists

PAIRS_AT_ONCE = 1 << 25


class Pairs(NamedTuple):
    """Some queries and the gallery, shaped so that comparing them gives one value per pair.

    Those of queries are (q, 1), those of the gallery (1, G), all int64; ``*_rows`` are row numbers,
    to look up whatever else is known of an image. Cameras are None where they were not given.
    """

    query_rows: Tensor
    gallery_rows: Tensor
    query_ids: Tensor
    gallery_ids: Tensor
    query_cameras: Tensor | None
    gallery_cameras: Tensor | None


Rule: TypeAlias = Array | Callable[[Pairs], Tensor]


class Rules(NamedTuple):
    """What the user says of the pairs: which are junk, and which may be ranked at all."""

    junk: Rule | None = None
    candidates: Rule | None = None

    def are_given(self) -> bool:
        """Whether there is one at all; masks are not to be compared."""
        return self.junk is not None or self.candidates is not None


def check(where: str, rules: Rules, sizes: tuple[int, int]) -> Rules:
    """The rules, masks as bool tensors."""

    def read(name: str, rule: Rule | None) -> Rule | None:
        if rule is None or callable(rule):
            return rule
        return read_mask(where, name, rule, sizes)

    return Rules(read("junk", rules.junk), read("candidates", rules.candidates))


def exclude(
    where: str,
    rules: Rules,
    pairs: Pairs,
    kept: Tensor | None,
    positives: Lists,
    junk: Lists,
) -> tuple[Lists, Lists]:
    """Positives and junk after the rules; ``pairs`` of the whole gallery, lists of kept rows."""
    of_positive, of_junk = rows(positives), rows(junk)
    stays, counts, indices = [], [], []
    queries = len(pairs.query_rows)
    step = max(1, PAIRS_AT_ONCE // pairs.gallery_rows.shape[1])
    for first in range(0, queries, step):
        some = _queries(pairs, slice(first, first + step))
        out = _left_out(where, rules, some)
        out = out if kept is None else out[:, kept]
        last = min(first + step, queries)
        here = slice(int(junk.offsets[first]), int(junk.offsets[last]))
        out[of_junk[here] - first, junk.indices[here]] = True
        here = slice(int(positives.offsets[first]), int(positives.offsets[last]))
        stays.append(~out[of_positive[here] - first, positives.indices[here]])
        counts.append(out.sum(1))
        indices.append(out.nonzero()[:, 1])
    stay = torch.cat(stays)
    kept_before = torch.nn.functional.pad(stay.cumsum(0), (1, 0))
    offsets = torch.nn.functional.pad(torch.cat(counts).cumsum(0), (1, 0))
    return (
        Lists(kept_before[positives.offsets], positives.indices[stay]),
        Lists(offsets, torch.cat(indices)),
    )


def _queries(pairs: Pairs, some: slice) -> Pairs:
    cameras = pairs.query_cameras
    return pairs._replace(
        query_rows=pairs.query_rows[some],
        query_ids=pairs.query_ids[some],
        query_cameras=None if cameras is None else cameras[some],
    )


def _left_out(where: str, rules: Rules, pairs: Pairs) -> Tensor:
    """(q, G) bool."""
    sizes = len(pairs.query_rows), pairs.gallery_rows.shape[1]
    out = torch.zeros(sizes, dtype=torch.bool, device=pairs.query_rows.device)

    def of(name: str, rule: Any) -> Tensor:
        if callable(rule):
            return read_mask(where, name, rule(pairs), sizes).to(out.device)
        return rule[pairs.query_rows[:, 0].to(rule.device)].to(out.device)

    if rules.junk is not None:
        out |= of("junk", rules.junk)
    if rules.candidates is not None:
        out |= ~of("candidates", rules.candidates)
    return out
