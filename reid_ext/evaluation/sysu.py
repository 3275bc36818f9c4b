"""The SYSU-MM01 protocol: infrared queries, a drawn RGB gallery, the mean over trials.

After the official Matlab evaluation of Wu et al. 2017 (RGB-infrared cross-modality re-ID).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import ops
from reid_ext.evaluation import ranking, sysu_gallery
from reid_ext.evaluation._engine import inputs, matches
from reid_ext.evaluation._engine.inputs import METRICS, Array
from reid_ext.evaluation._engine.task import TIES, check_some_match, unmatched
from reid_ext.evaluation.ranking import Ranking
from reid_ext.ops import Lists

QUERY_CAMERAS = (3, 6)
LOCATIONS = (0, 1, 2, 2, 4, 5, 6)  # of each camera number; cameras 2 and 3 look at one place
QUERY_BLOCK = 1024


class _Labels(NamedTuple):
    """(Q,) and (G,) int64 on the features' device."""

    query_ids: Tensor
    gallery_ids: Tensor
    query_locations: Tensor
    gallery_locations: Tensor


def evaluate_sysu(
    query: Array,
    gallery: Array,
    *,
    query_ids: Array,
    gallery_ids: Array,
    query_cameras: Array,
    gallery_cameras: Array,
    mode: str = "all",
    shots: int = 1,
    trials: int = 10,
    permutations: sysu_gallery.Permutations | None = None,
    gallery_images: Array | None = None,
    seed: int = 0,
    cmc: str = "official",
    metric: str = "cosine",
    max_rank: int = 50,
) -> Ranking:
    """Return CMC, mAP and mINP of the SYSU-MM01 protocol, each the mean over the trials.

    A query ranks the images of its trial's gallery that were not taken at its own location: one
    of camera 3 ranks no image of camera 2, of whatever identity. Ties go to the lower gallery
    row, NaN comes last. Queries without a match do not count. Memory: the distances of the
    queries to all images of any trial (3803 x 6775 float32: 103 MB), and to those of one trial.

    Args:
        query: Features of all infrared images, (Q, D), as in :func:`evaluate`.
        gallery: Features of all RGB images, (G, D), of which each trial uses a few.
        query_ids: Identities of shape (Q,).
        gallery_ids: Identities of shape (G,).
        query_cameras: Cameras of shape (Q,), each 3 or 6.
        gallery_cameras: Cameras of shape (G,), each 1, 2, 4 or 5.
        mode: ``"all"``: gallery of cameras 1, 2, 4, 5. ``"indoor"``: of cameras 1, 2.
        shots: Gallery images per identity and camera: 1 (single-shot) or 10 (multi-shot).
        trials: How many galleries to draw.
        permutations: The official draw, see :func:`select_galleries`; None: a seeded one.
        gallery_images: 1-based image numbers, (G,), within camera and identity.
        seed: Of the seeded draw.
        cmc: ``"official"``: of each identity only the nearest image is ranked, so rank-k counts
            identities. ``"per_image"``: every image is ranked. mAP and mINP always take every one.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.
        max_rank: Length of the CMC.

    Returns:
        :class:`Ranking` of the mean, with the ranking of each trial in ``trials``.

    Raises:
        ValueError: an argument that does not fit, by its name; or no query has a match, and why.
    """
    where = sysu_gallery.WHERE
    inputs.check_choice(where, "cmc", cmc, ("official", "per_image"))
    inputs.check_choice(where, "metric", metric, METRICS)
    max_rank = inputs.check_at_least(where, "max_rank", max_rank, 1)
    q, g = inputs.read_features(where, query, gallery)
    labels = _read_labels(query_ids, gallery_ids, query_cameras, gallery_cameras, q, len(g))
    galleries = sysu_gallery.select_galleries(
        gallery_ids,
        gallery_cameras,
        mode=mode,
        shots=shots,
        trials=trials,
        permutations=permutations,
        gallery_images=gallery_images,
        seed=seed,
    )
    protocol = (
        f"sysu-mm01: {mode}-search, {shots}-shot, "
        f"{'seed ' + str(seed) if permutations is None else 'official'} draw; junk same location; "
        f"{TIES}; CMC {cmc}; AP step; {metric}; {len(q)} queries x "
        f"{min(len(r) for r in galleries)} gallery images"
    )
    used = np.unique(np.concatenate(galleries))
    distances = _distances(q, g[torch.from_numpy(used).to(g.device)], metric)
    rankings = []
    for chosen in galleries:
        rows = torch.from_numpy(chosen).to(g.device)
        columns = torch.from_numpy(np.searchsorted(used, chosen)).to(g.device)
        of_trial = labels._replace(
            gallery_ids=labels.gallery_ids[rows], gallery_locations=labels.gallery_locations[rows]
        )
        rankings.append(
            _trial(distances.index_select(1, columns), of_trial, cmc, max_rank, protocol)
        )
    return ranking.mean(rankings, f"{protocol}, mean of {trials} trials")


def _read_labels(
    query_ids: Array,
    gallery_ids: Array,
    query_cameras: Array,
    gallery_cameras: Array,
    query: Tensor,
    gallery_rows: int,
) -> _Labels:
    def column(name: str, values: Array) -> Tensor:
        like = name.split("_")[0]
        length = len(query) if like == "query" else gallery_rows
        return inputs.read_integers(sysu_gallery.WHERE, name, values, length, like, query.device)

    cameras = column("query_cameras", query_cameras), column("gallery_cameras", gallery_cameras)
    sysu_gallery.check_cameras("query_cameras", cameras[0], QUERY_CAMERAS)
    sysu_gallery.check_cameras("gallery_cameras", cameras[1], sysu_gallery.CAMERAS["all"])
    location = torch.tensor(LOCATIONS, device=query.device)
    return _Labels(
        column("query_ids", query_ids),
        column("gallery_ids", gallery_ids),
        location[cameras[0]],
        location[cameras[1]],
    )


def _distances(query: Tensor, gallery: Tensor, metric: str) -> Tensor:
    """(Q, G), up to what does not change a query's ranking, such as its own length."""
    if query.dtype in (torch.bfloat16, torch.float16):
        query, gallery = query.float(), gallery.float()
    with torch.autocast(query.device.type, enabled=False):  # ranks want full precision
        if metric == "cosine":
            return F.normalize(query, dim=1) @ F.normalize(gallery, dim=1).T.neg()
        return torch.addmm(gallery.square().sum(1), query, gallery.T, alpha=-2)


def _trial(distances: Tensor, labels: _Labels, cmc: str, max_rank: int, protocol: str) -> Ranking:
    query_ids, gallery_ids, query_locations, gallery_locations = labels
    same_identity = matches.equal_labels(query_ids, gallery_ids)
    positives, _ = matches.split_by(same_identity, query_locations, gallery_locations)
    check_some_match(
        sysu_gallery.WHERE, positives, same_identity, query_ids, gallery_ids, "its location"
    )
    junk = matches.equal_labels(query_locations, gallery_locations)
    return ranking.from_ranks(
        Lists(positives.offsets, ops.rank_positives_from_distances(distances, positives, junk)),
        max_rank=max_rank,
        average_precision="step",
        protocol=protocol,
        unmatched=unmatched(same_identity, positives, positives),
        first_ranks=_identity_ranks(distances, positives, labels) if cmc == "official" else None,
    )


def _identity_ranks(distances: Tensor, positives: Lists, labels: _Labels) -> Tensor:
    """Rank of the first match when only the nearest image of each identity is ranked, (Q,).

    That is 1 + the number of identities with an image before the first match. Meaningless for a
    query without a match.
    """
    columns = torch.arange(distances.shape[1], device=distances.device)
    first = _first_matches(distances, positives)
    threshold = distances.gather(1, first[:, None])
    _, identity = labels.gallery_ids.unique(return_inverse=True)
    is_identity = F.one_hot(identity).float()  # (G, identities)
    ranks = []
    for block in torch.arange(len(distances), device=distances.device).split(QUERY_BLOCK):
        d, t, before = distances[block], threshold[block], columns < first[block, None]
        closer = (d < t) | (before & (d == t)) | (t.isnan() & (before | ~d.isnan()))
        ranked = labels.query_locations[block, None] != labels.gallery_locations
        images_before = (closer & ranked).float() @ is_identity  # whole numbers, so exact
        ranks.append((images_before > 0).sum(1) + 1)
    return torch.cat(ranks)


def _first_matches(distances: Tensor, positives: Lists) -> Tensor:
    """The column of each query's nearest match, (Q,); any column for a query without a match."""
    query = matches.rows(positives)
    by_distance = distances[query, positives.indices].argsort(stable=True)  # NaN last
    by_query = by_distance[query[by_distance].argsort(stable=True)]
    starts = positives.offsets[:-1].clamp(max=len(query) - 1)
    return positives.indices[by_query[starts]]
