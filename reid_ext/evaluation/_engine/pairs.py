"""Matches and junk of each query as CSR lists, computed from label columns.

A :class:`Side` contains the columns of the queries or of the gallery, without features. Everything
is vectorised on the device of the columns. Within a query, images keep the order of the gallery.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext._runtime.arguments import ArgumentError, Array, boolean_mask
from reid_ext.ops import Lists

PAIRS_AT_ONCE = 1 << 25


class Side:
    """The queries or the gallery of an evaluation: integer columns on one device.

    Args:
        function: Public function that the user called.
        name: ``"query"`` or ``"gallery"``.
        rows: Number of images.
        columns: int64 tensors of shape (rows,).
        arguments: Name of the argument that each column came from. In errors, other columns are
            called ``<name>.<column>``.
    """

    def __init__(
        self,
        function: str,
        name: str,
        rows: int,
        columns: Mapping[str, Tensor],
        arguments: Mapping[str, str] | None = None,
    ) -> None:
        self.function, self.name, self.rows = function, name, rows
        self.columns, self.arguments = dict(columns), dict(arguments or {})

    def called(self, column: str) -> str:
        """Return the name of a column as the caller knows it."""
        return self.arguments.get(column, f"{self.name}.{column}")

    def error(
        self, column: str, requirement: str, value: str, advice: str = "", like: str = ""
    ) -> ArgumentError:
        """Return an error about a column. The requirement ends with ``like``, another argument."""
        return ArgumentError(self.function, self.called(column), requirement, value, advice, like)

    def __getitem__(self, column: str) -> Tensor:
        return self.columns[column]

    def take(self, rows: Tensor | None) -> "Side":
        """Return the given rows, or all rows for None."""
        if rows is None:
            return self
        columns = {name: values[rows.to(values.device)] for name, values in self.columns.items()}
        return Side(self.function, self.name, len(rows), columns, self.arguments)

    def with_column(self, name: str, values: Tensor) -> "Side":
        """Return the same images with one more column."""
        columns = self.columns | {name: values}
        return Side(self.function, self.name, self.rows, columns, self.arguments)


class Pairs(NamedTuple):
    """Labels of some queries and of the gallery; comparing them gives one value per pair.

    Rules passed as ``junk`` or ``candidates`` receive this object. Tensors of queries have shape
    (q, 1), those of the gallery (1, G), all int64. ``query_rows`` and ``gallery_rows`` are row
    numbers, to look up other properties of an image. Cameras are None if they were not given.

    Examples:
        >>> import torch
        >>> from reid_ext import evaluate_distances
        >>> query_frames, gallery_frames = torch.tensor([0]), torch.tensor([10, 900])
        >>> def is_near_in_time(pairs):
        ...     return gallery_frames[pairs.gallery_rows] - query_frames[pairs.query_rows] < 100
        >>> ranking = evaluate_distances(
        ...     [[0.1, 0.2]], query_ids=[1], gallery_ids=[2, 1], protocol="generic",
        ...     junk=is_near_in_time,
        ... )
        >>> ranking.rank(1)  # the first image is junk
        1.0
    """

    query_rows: Tensor
    gallery_rows: Tensor
    query_ids: Tensor
    gallery_ids: Tensor
    query_cameras: Tensor | None
    gallery_cameras: Tensor | None


Rule: TypeAlias = Array | Callable[[Pairs], Tensor]


class Rules(NamedTuple):
    """Rules of the user for pairs: which are junk, and which may be ranked."""

    junk: Rule | None = None
    candidates: Rule | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the rules that are not None. (Masks cannot be compared with ==.)"""
        return tuple(name for name, rule in self._asdict().items() if rule is not None)


class Unmatched(NamedTuple):
    """Number of queries without a match, by the reason for it.

    Examples:
        >>> from reid_ext.evaluation import Unmatched
        >>> print(Unmatched(no_image=2, protocol=1))
        2 with no gallery image of their identity, 1 with only junk matches by the protocol
    """

    no_image: int = 0  # the gallery has no image of the identity
    protocol: int = 0  # all matches are junk by the protocol (same camera or location)
    rules: int = 0  # the arguments junk and candidates exclude the remaining matches
    junk: int = 0  # the query itself is labelled as junk, identity -1

    def __str__(self) -> str:
        reasons = (
            (self.no_image, "with no gallery image of their identity"),
            (self.protocol, "with only junk matches by the protocol"),
            (self.rules, "with all matches excluded by junk or candidates"),
            (self.junk, "labelled as junk (identity -1)"),
        )
        return ", ".join(f"{count} {reason}" for count, reason in reasons if count)


class Matches(NamedTuple):
    """The matches and junk of each query. The lists index the gallery without ignored rows."""

    positives: Lists
    junk: Lists
    kept: Tensor | None  # (G,) bool; None when no row is ignored
    unmatched: Unmatched
    ignored: int = 0

    def gallery(self, values: Tensor, dim: int = 0) -> Tensor:
        """Return the values of the gallery images that the lists index."""
        if self.kept is None:
            return values
        return values.index_select(dim, self.kept.nonzero()[:, 0].to(values.device))


def match(
    query: Side, gallery: Side, same: Sequence[str], ignored_identity: int | None, rules: Rules
) -> Matches:
    """Find matches and junk.

    Args:
        query: The queries.
        gallery: The gallery.
        same: Gallery images that agree with the query in all these columns are junk.
        ignored_identity: Gallery images of this identity are left out for every query.
        rules: Further rules for pairs.

    Raises:
        ArgumentError: If no query has a match. The message names the rule that removed the last
            one.
    """
    kept, whole = None, gallery
    if ignored_identity is not None and bool((gallery["identities"] == ignored_identity).any()):
        kept = gallery["identities"] != ignored_identity
        gallery = gallery.take(kept.nonzero()[:, 0])
    same_identity = equal_labels(query["identities"], gallery["identities"])
    none = Lists(torch.zeros_like(same_identity.offsets), same_identity.indices[:0])
    positives, junk = same_identity, none
    if same:
        agree = torch.ones_like(same_identity.indices, dtype=torch.bool)
        of_query = query_of(same_identity)
        for column in same:
            agree &= query[column][of_query] == gallery[column][same_identity.indices]
        positives = keep(same_identity, ~agree)
        if "identities" in same:
            junk = keep(same_identity, agree)
        else:
            junk = _agreeing(query, gallery, same)
    advice = (
        ""
        if kept is None or len(positives.indices)
        else _of_ignored(query, whole, ignored_identity)
    )
    _check_some_match(query, gallery, positives, same_identity, advice)
    by_protocol = positives
    if rules.given:
        positives, junk = _exclude(rules, query, whole, kept, by_protocol, junk)
        if len(positives.indices) == 0:
            raise ArgumentError(
                query.function,
                " and ".join(rules.given),
                "leave at least one query with a match",
                f"rules that exclude all {len(by_protocol.indices)} matching pairs",
                "True excludes a pair in junk and keeps it in candidates",
            )
    unmatched = _unmatched(same_identity, by_protocol, positives)
    if ignored_identity is not None and unmatched.no_image:
        labelled = int((query["identities"] == ignored_identity).sum())
        unmatched = unmatched._replace(no_image=unmatched.no_image - labelled, junk=labelled)
    return Matches(positives, junk, kept, unmatched, whole.rows - gallery.rows)


def left_out(
    query: Side, gallery: Side, same: Sequence[str], ignored_identity: int | None, rules: Rules
) -> Tensor:
    """Return the pairs that :func:`match` leaves out, (Q, G) bool."""
    masks = _masks(rules, query, gallery)
    out = _left_out_by(masks, _pairs(query, gallery, slice(None)), query.function)
    if same:
        out |= torch.stack([query[c][:, None] == gallery[c] for c in same]).all(0)
    if ignored_identity is not None:
        out |= gallery["identities"] == ignored_identity
    return out


def equal_labels(query: Tensor, gallery: Tensor) -> Lists:
    """Return the gallery indices with the label of each query; labels (Q,) and (G,) int64."""
    order = torch.argsort(gallery, stable=True)
    ordered = gallery[order]
    query = query.contiguous()
    first = torch.searchsorted(ordered, query)
    counts = torch.searchsorted(ordered, query, right=True) - first
    offsets = F.pad(counts.cumsum(0), (1, 0))
    position = torch.repeat_interleave(first - offsets[:-1], counts)  # in `ordered`, minus entry
    entry = torch.arange(len(position), device=query.device)
    return Lists(offsets, order[position + entry])


def _agreeing(query: Side, gallery: Side, columns: Sequence[str]) -> Lists:
    """Return the pairs that agree in all of the columns."""
    if len(columns) == 1:
        return equal_labels(query[columns[0]], gallery[columns[0]])
    both = torch.stack([torch.cat([query[c], gallery[c]]) for c in columns], 1)
    code = both.unique(dim=0, return_inverse=True)[1]
    return equal_labels(code[: query.rows], code[query.rows :])


def query_of(lists: Lists) -> Tensor:
    """Return the query of each entry, (P,)."""
    return torch.repeat_interleave(lists.offsets.diff())


def keep(lists: Lists, mask: Tensor) -> Lists:
    """Return the entries for which the mask (P,) is true."""
    kept_before = F.pad(mask.cumsum(0), (1, 0))
    return Lists(kept_before[lists.offsets], lists.indices[mask])


def _unmatched(same_identity: Lists, by_protocol: Lists, positives: Lists) -> Unmatched:
    images, after, left = (t.offsets.diff() for t in (same_identity, by_protocol, positives))
    return Unmatched(
        no_image=int((images == 0).sum()),
        protocol=int(((images > 0) & (after == 0)).sum()),
        rules=int(((after > 0) & (left == 0)).sum()),
    )


def _of_ignored(query: Side, gallery: Side, identity: int | None) -> str:
    of_query, of_gallery = (s["identities"].tolist().count(identity) for s in (query, gallery))
    return (
        f"{of_query} queries and {of_gallery} gallery images have identity {identity}, which means "
        "junk; give images of a person a number from 0"
    )


def _check_some_match(
    query: Side, gallery: Side, positives: Lists, same_identity: Lists, advice: str
) -> None:
    if len(positives.indices) > 0:
        return
    if len(same_identity.indices) == 0:
        counts = [
            f"{len(side['identities'].unique())} identities in {side.rows} {images}"
            for side, images in ((query, "queries"), (gallery, "gallery images"))
        ]
        got = f"{' and '.join(counts)}, none in common"
        like = query.called("identities")
        raise gallery.error("identities", "share an identity with", got, advice, like)
    got = (
        f"{len(same_identity.indices)} pairs with the same identity, all of which are junk because "
        "the gallery image is of the query's camera or location"
    )
    requirement = "leave at least one query with a match"
    raise gallery.error("cameras", requirement, got, "check the cameras")


def _exclude(
    rules: Rules, query: Side, gallery: Side, kept: Tensor | None, positives: Lists, junk: Lists
) -> tuple[Lists, Lists]:
    """Apply the rules. ``gallery`` is the whole gallery; the lists index its kept rows."""
    masks = _masks(rules, query, gallery)
    of_positive, of_junk = query_of(positives), query_of(junk)
    stays, counts, indices = [], [], []
    step = max(1, PAIRS_AT_ONCE // gallery.rows)
    for first in range(0, query.rows, step):
        last = min(first + step, query.rows)
        out = _left_out_by(masks, _pairs(query, gallery, slice(first, last)), query.function)
        out = out if kept is None else out[:, kept]
        here = slice(int(junk.offsets[first]), int(junk.offsets[last]))
        out[of_junk[here] - first, junk.indices[here]] = True
        here = slice(int(positives.offsets[first]), int(positives.offsets[last]))
        stays.append(~out[of_positive[here] - first, positives.indices[here]])
        counts.append(out.sum(1))
        indices.append(out.nonzero()[:, 1])
    offsets = F.pad(torch.cat(counts).cumsum(0), (1, 0))
    return keep(positives, torch.cat(stays)), Lists(offsets, torch.cat(indices))


def _masks(rules: Rules, query: Side, gallery: Side) -> Rules:
    """Return the rules, with masks as bool tensors."""

    def read(name: str, rule: Rule | None) -> Rule | None:
        if rule is None or callable(rule):
            return rule
        return boolean_mask(query.function, name, rule, (query.rows, gallery.rows))

    return Rules(read("junk", rules.junk), read("candidates", rules.candidates))


def _pairs(query: Side, gallery: Side, some: slice) -> Pairs:
    device = query["identities"].device

    def columns(side: Side, shape: Any) -> tuple[Tensor, Tensor, Tensor | None]:
        cameras = side.columns.get("cameras")
        return (
            shape(torch.arange(side.rows, device=device)),
            shape(side["identities"]),
            None if cameras is None else shape(cameras),
        )

    q_rows, q_ids, q_cameras = columns(query, lambda x: x[some, None])
    g_rows, g_ids, g_cameras = columns(gallery, lambda x: x[None])
    return Pairs(q_rows, g_rows, q_ids, g_ids, q_cameras, g_cameras)


def _left_out_by(rules: Rules, pairs: Pairs, function: str) -> Tensor:
    """Return which pairs the rules leave out, (q, G) bool."""
    sizes = len(pairs.query_rows), pairs.gallery_rows.shape[1]
    out = torch.zeros(sizes, dtype=torch.bool, device=pairs.query_rows.device)

    def of(name: str, rule: Any) -> Tensor:
        if callable(rule):
            return boolean_mask(function, name, rule(pairs), sizes).to(out.device)
        return rule[pairs.query_rows[:, 0].to(rule.device)].to(out.device)

    if rules.junk is not None:
        out |= of("junk", rules.junk)
    if rules.candidates is not None:
        out |= ~of("candidates", rules.candidates)
    return out
