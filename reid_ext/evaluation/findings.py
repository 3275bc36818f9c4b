"""Findings: signs that an evaluation does not measure what its user thinks it measures.

They are made from what the evaluation has anyway: the ranks of the matches, the lists of junk, and
a few dimensions of the features.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext.evaluation._engine.pairs import Matches, Side, query_of
from reid_ext.ops import Lists

FIRST = 8  # rows and columns of distances
LOOKED_AT = 16  # dimensions of the features, evenly spaced; a hit is verified in all
SAMPLED = 256  # rows by which a hit about all rows is verified
NEAR_COPY = 1e-5  # distance of two rows over their norm
OFFSET = 1000.0  # times the spread of the features
EQUAL = 1e-7  # times their size: features that float32 cannot tell apart
FEW = 0.5  # of the queries have a match
ALMOST_ALL = 0.95  # of the matching pairs are junk
ENOUGH_MATCHES = 100  # to tell chance from skill


class Finding(NamedTuple):
    """One sign, with a code for programs and a sentence for people.

    Attributes:
        code: A fixed word such as ``"finds-itself"``.
        text: What was found and what to check.
        is_warning: Whether the metrics are probably meaningless; otherwise it is a note.
    """

    code: str
    text: str
    is_warning: bool = True

    def __str__(self) -> str:
        return f"{'warning' if self.is_warning else 'note'} ({self.code}): {self.text}"


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings of several trials, the first of each code."""
    return tuple({finding.code: finding for finding in reversed(list(findings))}.values())[::-1]


def of_pairs(
    query: Side, gallery: Side, matches: Matches, same: tuple[str, ...], rule: str
) -> list[Finding]:
    """Return findings about the labels.

    They are too few queries with a match, a junk rule that leaves out no pair or almost all pairs,
    and cameras that queries and gallery count from different numbers.

    ``same`` are the columns of the protocol's junk rule, ``rule`` is that rule in words.
    """
    found = []
    counts = matches.positives.offsets.diff()
    valid = int((counts > 0).sum())
    if valid < FEW * query.rows:
        text = f"only {valid} of {query.rows} queries have a match, and the others do not count"
        found.append(Finding("few-matches", f"{text}; check identities and cameras"))
    if same:
        found += _of_junk(matches, same, rule)
    if "cameras" in same:
        found += _of_cameras(query["cameras"], gallery["cameras"])
    return found


def _of_junk(matches: Matches, same: tuple[str, ...], rule: str) -> list[Finding]:
    junk, positives = len(matches.junk.indices), len(matches.positives.indices)
    if junk == 0:
        text = f"the junk rule ({rule}) left out no pair; if queries and gallery share cameras, "
        return [Finding("no-junk", f"{text}check that both number them in the same way", False)]
    if "identities" in same and junk > ALMOST_ALL * (junk + positives):
        share = f"{junk} of {junk + positives} pairs of one identity"
        text = f"the junk rule ({rule}) left out {share}; check the cameras"
        return [Finding("almost-all-junk", text)]
    return []


def _of_cameras(query: Tensor, gallery: Tensor) -> list[Finding]:
    if len(query) == 0 or len(gallery) == 0:
        return []
    (q_first, q_last), (g_first, g_last) = ((int(c.min()), int(c.max())) for c in (query, gallery))
    if q_last > q_first and abs(q_first - g_first) == 1 and q_last - q_first == g_last - g_first:
        text = f"query cameras are {q_first} to {q_last}, gallery cameras {g_first} to {g_last}"
        return [Finding("shifted-cameras", f"{text}; check that both count from the same number")]
    return []


def of_ranks(ranks: Lists, gallery: int, junk: Lists) -> list[Finding]:
    """Return findings about the ranks: matches as far away as other images, or farther.

    Args:
        ranks: Of each query's matches, 1-based.
        gallery: Gallery images of a query, junk included.
        junk: Left out of the gallery of each query.
    """
    if len(ranks.indices) < ENOUGH_MATCHES:
        return []
    ranked = (gallery - junk.offsets.diff()).to(ranks.indices.device)[query_of(ranks)]
    place = ((ranks.indices - 0.5) / ranked).mean().item()  # 0.5 by chance
    deviation = (12 * len(ranks.indices)) ** -0.5
    if place > 0.5 + max(0.05, 4 * deviation):
        text = (
            "matches are farther away than other images; check that smaller distances mean closer"
        )
        return [Finding("reversed", text)]
    if place > 0.5 - 3 * deviation:
        text = "matches are no closer than other images, as by chance; check that features and "
        return [Finding("chance", f"{text}labels are in the same order")]
    return []


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a matrix (N, D), without a copy of it."""

    matrix: Tensor
    chosen: Tensor | None = None  # row numbers; None: all

    def some_dimensions(self) -> Tensor:
        """Return a few evenly spaced dimensions of the rows as float64."""
        x = self.matrix.detach()
        size = x.shape[1]
        count = min(size, LOOKED_AT)
        columns = torch.arange(count, device=x.device) * (size - 1) // max(count - 1, 1)
        x = x.index_select(1, columns)
        return (x if self.chosen is None else x[self.chosen.to(x.device)]).double()

    def sample(self) -> Tensor:
        """Return all dimensions of at most ``SAMPLED`` evenly spaced rows as float64."""
        size = len(self.matrix if self.chosen is None else self.chosen)
        count = min(size, SAMPLED)
        rows = torch.arange(count, device=self.matrix.device) * (size - 1) // max(count - 1, 1)
        return self.take(rows)

    def take(self, rows: Tensor) -> Tensor:
        """Return all dimensions of a few of the rows as float64."""
        if self.chosen is not None:
            rows = self.chosen.to(rows.device)[rows]
        return self.matrix.detach()[rows.to(self.matrix.device)].double()


def of_distances(distances: Tensor) -> list[Finding]:
    """Return findings about distances (Q, G): NaN in the first rows or columns."""
    damaged = distances[:FIRST].isnan().any() | distances[:, :FIRST].isnan().any()
    if not bool(damaged):
        return []
    return [Finding("not-finite", "the distances hold NaN, which ranks last; check the features")]


def of_features(query: Rows, gallery: Rows, positives: Lists) -> list[Finding]:
    """Return findings about the features.

    They are queries that match a copy of themselves, equal or zero rows, and a common offset.

    Args:
        query: The features of the queries.
        gallery: The features of the gallery rows that the lists index.
        positives: The matches of each query.
    """
    q, g = query.some_dimensions(), gallery.some_dimensions()
    if len(q) == 0 or len(g) == 0:
        return []
    found = _of_damage("query", q, query) + _of_damage("gallery", g, gallery)
    found += _of_values(g, gallery)
    if not any(finding.is_warning for finding in found):
        found += _of_copies(q, g, query, gallery, positives)
    return found


def _of_damage(side: str, x: Tensor, rows: Rows) -> list[Finding]:
    """Findings about rows that are zero, or NaN or infinite in a few dimensions."""
    found = []
    damaged = int((~x.isfinite().all(1)).sum())
    if damaged:
        text = f"{damaged} of {len(x)} {side} features hold NaN or infinity; check the images of "
        found.append(Finding("not-finite", f"{text}those rows", damaged > FEW * len(x)))
    zero = (x == 0).all(1).nonzero()[:, 0]
    number = int(rows.take(zero).eq(0).all(1).sum())
    if number:
        text = f"{number} of {len(x)} {side} features are zero; check the images of those rows"
        found.append(Finding("zero-features", text, number > FEW * len(x)))
    return found


def _of_values(g: Tensor, gallery: Rows) -> list[Finding]:
    """Findings about all rows: equal features, and an offset that dwarfs their spread."""
    return _of_spread(g) and _of_spread(gallery.sample())


def _of_spread(g: Tensor) -> list[Finding]:
    finite = g[g.isfinite().all(1)]
    if len(finite) < 2:
        return []
    spread = (finite - finite.mean(0)).square().sum(1).mean().sqrt().item()
    size = finite.mean(0).norm().item()
    if spread <= EQUAL * size:
        text = "all gallery features are equal, so that the order of the files decides"
        return [Finding("equal-features", text)]
    if size > OFFSET * spread:
        text = (
            f"the features share an offset of about {size / max(spread, 1e-300):.0f} times their "
        )
        return [Finding("offset", f"{text}spread, which costs precision; subtract their mean")]
    return []


def _of_copies(q: Tensor, g: Tensor, query: Rows, gallery: Rows, positives: Lists) -> list[Finding]:
    """Queries whose nearest match is a copy of them: found by one number for each row."""
    random = torch.Generator("cpu").manual_seed(0)
    direction = torch.randn(q.shape[1], generator=random, dtype=torch.float64, device="cpu")
    direction = direction.to(q.device)
    of_query, of_gallery = q @ direction, g @ direction
    ordered, order = of_gallery.sort()
    place = torch.searchsorted(ordered, of_query.contiguous()).clamp(max=len(g) - 1)
    copies = torch.zeros(len(q), dtype=torch.bool, device=q.device)
    keys = query_of(positives) * len(g) + positives.indices
    for neighbour in (place, (place - 1).clamp(min=0)):
        row = order[neighbour]
        size = q.norm(dim=1)
        near = ((q - g[row]).norm(dim=1) <= NEAR_COPY * size).nonzero()[:, 0]
        a, b = query.take(near), gallery.take(row[near])
        near = near[(a - b).norm(dim=1) <= NEAR_COPY * a.norm(dim=1)]
        matched = torch.isin(near * len(g) + row[near], keys.to(near.device))
        copies[near[matched]] = True
    number = int(copies.sum())
    if number == 0:
        return []
    text = (
        f"{number} of {len(q)} queries match a copy of themselves in the gallery; if both are one "
    )
    advice = "set, leave it out with --leave-one-out, or in Python as docs/cases.md shows"
    return [Finding("finds-itself", text + advice)]
