"""CUHK03, classic protocol: the CMC of galleries with one image per identity.

After removing junk, the gallery of a query keeps one random image of each identity, and the CMC is
the mean over such draws. Its expectation is computed exactly: the rank of a match is 1 plus the
number of identities whose image is ranked before it, and these events are independent. mAP and mINP
are those of the whole gallery.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from reid_ext.evaluation._engine.pairs import Matches, Side
from reid_ext.evaluation.protocols.protocol import SEED, Curve, Protocol, Setting


class _Row(NamedTuple):
    """The gallery of one query without junk, nearest first."""

    identity: Tensor  # (n,) codes 0..J-1
    match: Tensor  # (n,) bool
    identities: int  # J


@dataclass(frozen=True)
class Cuhk03Classic(Protocol):
    """The classic protocol of CUHK03."""

    def needs_keys(self, settings: Mapping[str, Any]) -> bool:
        return True

    def curve(
        self,
        keys: Tensor,
        matches: Matches,
        query: Side,
        gallery: Side,
        settings: Mapping[str, Any],
        max_rank: int,
    ) -> Curve:
        keys = keys.cpu()
        q_ids, g_ids = query["identities"].cpu(), gallery["identities"].cpu()
        q_cameras, g_cameras = query["cameras"].cpu(), gallery["cameras"].cpu()
        generator = torch.Generator().manual_seed(settings["seed"])
        curves = []
        for i in (matches.positives.offsets.cpu().diff() > 0).nonzero()[:, 0].tolist():
            same = g_ids == q_ids[i]
            row = _row(keys[i], same, same & (g_cameras == q_cameras[i]), g_ids)
            if settings["draws"] is None:
                curves.append(_expected(row, max_rank))
            else:
                curves.append(_cmc(_drawn(row, settings["draws"], generator), max_rank))
        return Curve(cmc=torch.stack(curves).mean(0))

    def describe(self, settings: Mapping[str, Any], query: Side) -> dict[str, Any]:
        draws = settings["draws"]
        return {} if draws is None else {"draws": draws, "seed": settings["seed"]}

    def cmc_of(self, settings: Mapping[str, Any]) -> str:
        how = "expectation" if settings["draws"] is None else f"{settings['draws']} draws"
        return f"{self.cmc} ({how})"


def _row(keys: Tensor, same: Tensor, junk: Tensor, ids: Tensor) -> _Row:
    order = keys.argsort(stable=True)  # NaN last
    order = order[~junk[order]]
    names, identity = ids[order].unique(return_inverse=True)
    return _Row(identity, same[order], len(names))


def _expected(row: _Row, max_rank: int) -> Tensor:
    """Return P(rank <= k) for k = 1..max_rank, the mean over the query's matches."""
    shown = torch.nn.functional.one_hot(row.identity, row.identities).double()
    before = (shown.cumsum(0) - shown) / shown.sum(0)  # (n, J): share of its images
    at_match = before[row.match]
    at_match[:, row.identity[row.match][0]] = 0  # the match is the image of its own identity
    passed = at_match.new_zeros(len(at_match), max_rank + 1)  # c: P(c identities before it)
    passed[:, 0] = 1
    for share in at_match.T:  # add one identity at a time
        moved = passed * share[:, None]
        passed = passed - moved
        passed[:, 1:] += moved[:, :-1]
        passed[:, -1] += moved[:, -1]
    return passed[:, :max_rank].cumsum(1).mean(0)


def _drawn(row: _Row, draws: int, generator: torch.Generator) -> Tensor:
    """Return the rank of the match in each of the random galleries, (draws,)."""
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


DRAWS = Setting("draws", None, "random galleries per query (default: their expectation)", least=1)
PROTOCOL = Cuhk03Classic(
    name="cuhk03-classic",
    title="CUHK03 (classic protocol)",
    reference="Li et al., CVPR 2014",
    cmc="of galleries with one image per identity",
    cmc_of_first_matches=False,
    settings=(DRAWS, SEED),
)
