"""The single-gallery-shot CMC of the classic CUHK03 protocol: one gallery image per identity.

A query's gallery, its junk left out, keeps one random image of each identity; the CMC is the mean
over such draws. It is also known exactly: the rank of a match is 1 plus the number of identities
whose image comes before it, which are independent events.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext import ops
from reid_ext.evaluation._engine import inputs
from reid_ext.evaluation._engine.exclusion import Rules
from reid_ext.evaluation._engine.inputs import Array
from reid_ext.evaluation._engine.task import Labels, Report, read_task
from reid_ext.evaluation.ranking import Ranking

WHERE = "evaluate_single_shot"


class _Row(NamedTuple):
    """The gallery of one query without junk, nearest first."""

    identity: Tensor  # (n,) codes 0..J-1
    match: Tensor  # (n,) bool
    identities: int  # J


def evaluate_single_shot(
    distances: Array,
    *,
    query_ids: Array,
    gallery_ids: Array,
    query_cameras: Array,
    gallery_cameras: Array,
    draws: int | None = None,
    seed: int = 0,
    metric: str | None = None,
    max_rank: int = 50,
    average_precision: str = "step",
) -> Ranking:
    """Return the single-gallery-shot CMC; mAP and mINP are those of the whole gallery.

    Args:
        distances: Shape (Q, G), smaller is closer; as in :func:`evaluate_distances`.
        query_ids: Identities of shape (Q,).
        gallery_ids: Identities of shape (G,).
        query_cameras: Cameras of shape (Q,): images of the query's identity and camera are junk.
        gallery_cameras: Cameras of shape (G,).
        draws: Random galleries per query, 100 in the classic protocol and 10 in much code; None:
            the expectation over all galleries, which any number of draws approaches.
        seed: Of the draws.
        metric: As in :func:`evaluate_distances`; so are the following.
        max_rank: Length of the CMC.
        average_precision: ``"step"`` or ``"trapezoid"``.

    Returns:
        :class:`Ranking`, whose ``first_match`` is that of the whole gallery.

    Raises:
        ValueError: an argument that does not fit, by its name; or no query has a match, and why.

    Source:
        Li et al. 2014 (CUHK03): the CMC over galleries of one image per identity.
    """
    if draws is not None:
        draws = inputs.check_at_least(WHERE, "draws", draws, 1)
    seed = inputs.check_at_least(WHERE, "seed", seed, 0)
    max_rank = inputs.check_at_least(WHERE, "max_rank", max_rank, 1)
    if metric is not None:
        inputs.check_choice(WHERE, "metric", metric, inputs.METRICS)
    d = inputs.read_distances(WHERE, distances).cpu().double()
    labels = Labels(query_ids, gallery_ids, query_cameras, gallery_cameras, "cuhk03-np", Rules())
    report = Report(max_rank, average_precision, metric or "given distances")
    task = read_task(WHERE, labels, report, (len(d), d.shape[1]), d.device)
    whole = task.ranking(ops.rank_positives_from_distances(d, task.positives, task.junk))
    columns = {
        name: inputs.read_integers(WHERE, name, values, length, "", d.device)
        for name, values, length in (
            ("query_ids", query_ids, len(d)),
            ("gallery_ids", gallery_ids, d.shape[1]),
            ("query_cameras", query_cameras, len(d)),
            ("gallery_cameras", gallery_cameras, d.shape[1]),
        )
    }
    generator = torch.Generator().manual_seed(seed)
    curves = []
    for i in torch.nonzero(~whole.first_match.isnan()).flatten().tolist():
        row = _row(d[i], columns, i)
        if draws is None:
            curves.append(_expected(row, max_rank))
        else:
            curves.append(_cmc(_drawn(row, draws, generator), max_rank))
    how = "expectation" if draws is None else f"{draws} draws, seed {seed}"
    rules = whole.protocol.removeprefix("cuhk03-np: ")
    return replace(
        whole,
        cmc=torch.stack(curves).mean(0),
        protocol=f"cuhk03-classic: CMC single-gallery-shot ({how}); {rules}",
    )


def _row(distances: Tensor, columns: dict[str, Tensor], query: int) -> _Row:
    same = columns["gallery_ids"] == columns["query_ids"][query]
    junk = same & (columns["gallery_cameras"] == columns["query_cameras"][query])
    order = distances.argsort(stable=True)  # NaN last
    order = order[~junk[order]]
    names, identity = columns["gallery_ids"][order].unique(return_inverse=True)
    return _Row(identity, same[order], len(names))


def _expected(row: _Row, max_rank: int) -> Tensor:
    """P(rank <= k) for k = 1..max_rank, the mean over the query's matches."""
    shown = torch.nn.functional.one_hot(row.identity, row.identities).double()
    before = (shown.cumsum(0) - shown) / shown.sum(0)  # (n, J): share of an identity before a place
    at_match = before[row.match]
    at_match[:, row.identity[row.match][0]] = 0  # the match is its own identity's image
    passed = at_match.new_zeros(len(at_match), max_rank + 1)  # P(so many identities are before it)
    passed[:, 0] = 1
    for share in at_match.T:  # one identity after the other joins
        moved = passed * share[:, None]
        passed = passed - moved
        passed[:, 1:] += moved[:, :-1]
        passed[:, -1] += moved[:, -1]
    return passed[:, :max_rank].cumsum(1).mean(0)


def _drawn(row: _Row, draws: int, generator: torch.Generator) -> Tensor:
    """The rank of the match in each of the drawn galleries, (draws,)."""
    chance = torch.rand(
        draws, len(row.identity), generator=generator, dtype=torch.float64, device="cpu"
    )
    index = row.identity.expand_as(chance)
    least = chance.new_full((draws, row.identities), torch.inf)
    least.scatter_reduce_(1, index, chance, "amin")
    chosen = chance == least.gather(1, index)
    place = (chosen & row.match).double().argmax(1)
    return chosen.cumsum(1).gather(1, place[:, None]).flatten()


def _cmc(ranks: Tensor, max_rank: int) -> Tensor:
    at_rank = torch.bincount(ranks.clamp(max=max_rank + 1), minlength=max_rank + 2)
    return at_rank[1 : max_rank + 1].cumsum(0).double() / len(ranks)
