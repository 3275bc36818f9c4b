"""What an evaluation needs besides distances: who matches whom, who is junk, what to report."""

from typing import NamedTuple

import torch
from torch import Tensor

from reid_ext.evaluation import matches
from reid_ext.evaluation.inputs import Array, check_at_least, check_choice, read_integers
from reid_ext.evaluation.protocols import PROTOCOLS
from reid_ext.evaluation.ranking import AVERAGE_PRECISIONS, Ranking, from_ranks
from reid_ext.ops import Lists

TIES = "ties by gallery index, NaN last"


class Labels(NamedTuple):
    """Arguments of the public functions, as the user passes them."""

    query_ids: Array
    gallery_ids: Array
    query_cameras: Array | None
    gallery_cameras: Array | None


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

    def ranking(self, ranks: Tensor) -> Ranking:
        return from_ranks(
            Lists(self.positives.offsets, ranks),
            max_rank=self.report.max_rank,
            average_precision=self.report.average_precision,
            protocol=self.fingerprint,
        )


def read_task(
    where: str,
    labels: Labels,
    protocol: str,
    report: Report,
    sizes: tuple[int, int],
    device: torch.device,
) -> Task:
    """Check every argument but the features, and find the matches of a (Q, G) problem."""
    check_choice(where, "protocol", protocol, tuple(PROTOCOLS))
    check_at_least(where, "max_rank", report.max_rank, 1)
    check_choice(where, "average_precision", report.average_precision, AVERAGE_PRECISIONS)
    rules = PROTOCOLS[protocol]
    q_ids = read_integers(where, "query_ids", labels.query_ids, sizes[0], "query", device)
    g_ids = read_integers(where, "gallery_ids", labels.gallery_ids, sizes[1], "gallery", device)
    q_cameras, g_cameras = torch.zeros_like(q_ids), torch.ones_like(g_ids)  # no junk
    if rules.same_camera_is_junk:
        q_cameras, g_cameras = _read_cameras(where, labels, protocol, sizes, device)

    kept = None
    if rules.ignored_identity is not None and bool((g_ids == rules.ignored_identity).any()):
        kept = g_ids != rules.ignored_identity
        g_ids, g_cameras = g_ids[kept], g_cameras[kept]
    same_identity = matches.equal_labels(q_ids, g_ids)
    positives, junk = matches.split_by(same_identity, q_cameras, g_cameras)
    check_some_match(where, positives, same_identity, q_ids, g_ids, "the query's camera")
    ignored = 0 if kept is None else sizes[1] - len(g_ids)
    fingerprint = (
        f"{protocol}: junk {rules}; {TIES}; AP {report.average_precision}; {report.metric}; "
        f"{sizes[0]} queries x {sizes[1] - ignored} gallery images"
        + (f" ({ignored} ignored)" if ignored else "")
    )
    return Task(positives, junk, kept, report, fingerprint)


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


def _read_cameras(
    where: str,
    labels: Labels,
    protocol: str,
    sizes: tuple[int, int],
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    def column(name: str, values: Array | None, length: int) -> Tensor:
        if values is None:
            raise ValueError(
                f"{where}: {name} must be given for protocol {protocol!r}, got None; "
                f"without cameras use protocol='generic'"
            )
        return read_integers(where, name, values, length, name.split("_")[0], device)

    return (
        column("query_cameras", labels.query_cameras, sizes[0]),
        column("gallery_cameras", labels.gallery_cameras, sizes[1]),
    )
