"""What an evaluation needs besides distances: who matches whom, who is junk, what to report."""

from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext.evaluation._engine import exclusion, matches
from reid_ext.evaluation._engine.exclusion import Pairs, Rules
from reid_ext.evaluation._engine.inputs import Array, check_at_least, check_choice, read_integers
from reid_ext.evaluation.protocols import PROTOCOLS
from reid_ext.evaluation.ranking import AVERAGE_PRECISIONS, Ranking, Unmatched, from_ranks
from reid_ext.ops import Lists

TIES = "ties by gallery index, NaN last"


class Labels(NamedTuple):
    """Who is who and who counts: arguments of the public functions, as the user passes them."""

    query_ids: Array
    gallery_ids: Array
    query_cameras: Array | None
    gallery_cameras: Array | None
    protocol: str
    rules: Rules


class Report(NamedTuple):
    """What to make of the ranks, and the distance they are of."""

    max_rank: int
    average_precision: str
    metric: str


class Task(NamedTuple):
    """The lists index the gallery without its ignored rows."""

    positives: Lists
    junk: Lists
    kept: Tensor | None  # (G,) bool; None when no row is ignored
    report: Report
    fingerprint: str
    unmatched: Unmatched

    def ranking(self, ranks: Tensor) -> Ranking:
        return from_ranks(
            Lists(self.positives.offsets, ranks),
            max_rank=self.report.max_rank,
            average_precision=self.report.average_precision,
            protocol=self.fingerprint,
            unmatched=self.unmatched,
        )


def read_task(
    where: str,
    labels: Labels,
    report: Report,
    sizes: tuple[int, int],
    device: torch.device,
) -> Task:
    """Check every argument but features and protocol; find the matches of a (Q, G) problem."""
    max_rank = check_at_least(where, "max_rank", report.max_rank, 1)
    report = report._replace(max_rank=max_rank)
    check_choice(where, "average_precision", report.average_precision, AVERAGE_PRECISIONS)
    protocol = PROTOCOLS[labels.protocol]
    rules = exclusion.check(where, labels.rules, sizes)
    pairs = _read_pairs(where, labels, sizes, device)

    g_ids, kept = pairs.gallery_ids[0], None
    if protocol.ignored_identity is not None and bool((g_ids == protocol.ignored_identity).any()):
        kept = g_ids != protocol.ignored_identity
        g_ids = g_ids[kept]
    same_identity = matches.equal_labels(pairs.query_ids[:, 0], g_ids)
    by_protocol, junk = (
        same_identity,
        matches.keep(same_identity, torch.zeros_like(same_identity.indices, dtype=torch.bool)),
    )
    if protocol.same_camera_is_junk:
        q_cameras, g_cameras = _cameras_of(where, labels, pairs)
        g_cameras = g_cameras if kept is None else g_cameras[kept]
        by_protocol, junk = matches.split_by(same_identity, q_cameras, g_cameras)
    check_some_match(
        where, by_protocol, same_identity, pairs.query_ids, g_ids, "the query's camera"
    )
    positives = by_protocol
    if rules.are_given():
        positives, junk = exclusion.exclude(where, rules, pairs, kept, by_protocol, junk)
        _check_rules_leave_a_match(where, positives, by_protocol)
    ignored = 0 if kept is None else sizes[1] - len(g_ids)
    fingerprint = (
        f"{labels.protocol}: junk {protocol}{_names(rules)}; {TIES}; "
        f"AP {report.average_precision}; {report.metric}; "
        f"{sizes[0]} queries x {sizes[1] - ignored} gallery images"
        + (f" ({ignored} ignored)" if ignored else "")
    )
    without = unmatched(same_identity, by_protocol, positives)
    return Task(positives, junk, kept, report, fingerprint, without)


def unmatched(same_identity: Lists, by_protocol: Lists, positives: Lists) -> Unmatched:
    """Of the queries without a match, how many lost their last one to what."""
    images, after, left = (t.offsets.diff() for t in (same_identity, by_protocol, positives))
    return Unmatched(
        no_image=int((images == 0).sum()),
        protocol=int(((images > 0) & (after == 0)).sum()),
        rules=int(((after > 0) & (left == 0)).sum()),
    )


def check_some_match(
    where: str, positives: Lists, same_identity: Lists, q_ids: Tensor, g_ids: Tensor, junk: str
) -> None:
    """Refuse a problem without a single match, and say whether labels or junk left none."""
    if len(positives.indices) > 0:
        return
    if len(same_identity.indices) == 0:
        raise ValueError(
            f"{where}: gallery_ids must share an identity with query_ids, got "
            f"{len(q_ids.unique())} identities in {len(q_ids)} queries and "
            f"{len(g_ids.unique())} in {len(g_ids)} gallery images, none in common"
        )
    raise ValueError(
        f"{where}: gallery_cameras must leave some query a match, got "
        f"{len(same_identity.indices)} pairs of one identity, each of them junk because the "
        f"gallery image is of {junk}; check the cameras"
    )


def _check_rules_leave_a_match(where: str, positives: Lists, by_protocol: Lists) -> None:
    if len(positives.indices) == 0:
        raise ValueError(
            f"{where}: junk and candidates must leave some query a match, got masks that leave out "
            f"all {len(by_protocol.indices)}; true in junk means left out, in candidates ranked"
        )


def _names(rules: Rules) -> str:
    given = [name for name, rule in rules._asdict().items() if rule is not None]
    return f" (and the {' and '.join(given)} given)" if given else ""


def _read_pairs(where: str, labels: Labels, sizes: tuple[int, int], device: torch.device) -> Pairs:
    def column(name: str, values: Array, of: str) -> Tensor:
        length = sizes[0] if of == "query" else sizes[1]
        read = read_integers(where, f"{of}_{name}", values, length, of, device)
        return read[:, None] if of == "query" else read[None]

    def cameras(values: Array | None, of: str) -> Tensor | None:
        return None if values is None else column("cameras", values, of)

    return Pairs(
        torch.arange(sizes[0], device=device)[:, None],
        torch.arange(sizes[1], device=device)[None],
        column("ids", labels.query_ids, "query"),
        column("ids", labels.gallery_ids, "gallery"),
        cameras(labels.query_cameras, "query"),
        cameras(labels.gallery_cameras, "gallery"),
    )


def _cameras_of(where: str, labels: Labels, pairs: Pairs) -> tuple[Tensor, Tensor]:
    def given(name: str, cameras: Tensor | None) -> Tensor:
        if cameras is None:
            raise ValueError(
                f"{where}: {name} must be given for protocol {labels.protocol!r}, got None; "
                f"without cameras use protocol='generic'"
            )
        if bool((cameras < 0).any()):
            raise ValueError(
                f"{where}: {name} must not be negative, got {int(cameras.min())}; images whose "
                "camera is not known would count as of one camera"
            )
        return cameras.flatten()

    return (
        given("query_cameras", pairs.query_cameras),
        given("gallery_cameras", pairs.gallery_cameras),
    )
