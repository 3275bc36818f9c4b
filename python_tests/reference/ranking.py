"""Rankings by sorting: the junk rules of the protocols, CMC, AP and INP, and verification."""

import itertools
from typing import NamedTuple

import numpy as np
import torch

SYSU_LOCATION = {1: 1, 2: 2, 3: 2, 4: 4, 5: 5, 6: 6}  # cameras 2 and 3 see the same place
BEYOND = 1 << 60


class Scores(NamedTuple):
    """The CMC, or None if no query has a match; AP and INP of each query, NaN without a match."""

    cmc: np.ndarray | None
    average_precision: np.ndarray
    inverse_negative_penalty: np.ndarray


def ranked_pairs(protocol, query_ids, gallery_ids, query_cameras, gallery_cameras) -> np.ndarray:
    """A mask (Q, G) of the gallery images that each query ranks.

    All protocols except `generic` remove images of the query's identity and camera. All remove
    identity -1. Distractors (identity 0) are ranked.
    """
    query_ids, gallery_ids = np.asarray(query_ids), np.asarray(gallery_ids)
    ranked = np.ones((len(query_ids), len(gallery_ids)), bool)
    ranked &= gallery_ids != -1
    if protocol != "generic":
        same_camera = np.asarray(query_cameras)[:, None] == np.asarray(gallery_cameras)
        ranked &= ~(same_pairs(query_ids, gallery_ids) & same_camera)
    return ranked


def sysu_ranked_pairs(query_cameras, gallery_cameras) -> np.ndarray:
    """The mask of SYSU-MM01: images from the location of the query's camera are removed."""
    query, gallery = (
        np.array([SYSU_LOCATION[int(camera)] for camera in cameras])
        for cameras in (query_cameras, gallery_cameras)
    )
    return query[:, None] != gallery


def same_pairs(query_ids, gallery_ids) -> np.ndarray:
    """A mask (Q, G) of the pairs with equal identities."""
    return np.asarray(query_ids)[:, None] == np.asarray(gallery_ids)


def scores(distances, same, ranked, *, max_rank=50, trapezoid=False, distinct_ids=None) -> Scores:
    """Sort each row of distances, remove the images that are not ranked, and find the matches.

    Equal distances are ordered by gallery index. If `distinct_ids` gives the identities of the
    gallery, the CMC counts each identity once, as in SYSU-MM01 and LLCM.
    """
    distances, same, ranked = (np.asarray(a) for a in (distances, same, ranked))
    order = np.argsort(distances, axis=1, kind="stable")
    stays = np.take_along_axis(ranked, order, 1)
    hit = np.take_along_axis(same, order, 1) & stays
    place = np.cumsum(stays, 1)
    number = np.cumsum(hit, 1)
    matches = hit.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = number / place
        if trapezoid:
            before = np.where(place == 1, 1, (number - 1) / np.maximum(place - 1, 1))
            precision = (precision + before) / 2
        ap = np.where(hit, precision, 0).sum(1) / matches
        inp = matches / np.where(hit, place, 0).max(1, initial=0)
    if not matches.any():
        return Scores(None, ap, inp)
    first = np.where(hit, place, BEYOND).min(1)
    if distinct_ids is not None:
        ids = np.asarray(distinct_ids)
        for i in np.flatnonzero(matches):
            first[i] = len(np.unique(ids[order[i][stays[i]]][: first[i] - 1])) + 1
    first = first[matches > 0]
    return Scores((first[:, None] <= np.arange(1, max_rank + 1)).mean(0), ap, inp)


def places(distances, positive, junk) -> list[int]:
    """The ranks of the positives in a stable sort (NaN last) of each row without its junk."""
    rows, found = torch.as_tensor(distances).cpu().double().numpy(), []
    for d, p, j in zip(rows, positive, junk, strict=True):
        order = np.argsort(d, kind="stable")
        found += (np.flatnonzero(p[order[~j[order]]]) + 1).tolist()
    return found


def single_shot_cmc(distances, same, ranked, gallery_ids, max_rank) -> np.ndarray | None:
    """CUHK03's classic CMC: the mean over all galleries with one image of each identity."""
    ids, curves = np.asarray(gallery_ids), []
    for d, match, stays in zip(np.asarray(distances), same, ranked, strict=True):
        order = np.flatnonzero(stays)[np.argsort(d[stays], kind="stable")]
        if not match[order].any():
            continue
        pools = [np.flatnonzero(ids[order] == identity) for identity in np.unique(ids[order])]
        galleries = (sorted(gallery) for gallery in itertools.product(*pools))
        first = np.array([match[order[gallery]].argmax() + 1 for gallery in galleries])
        curves.append((first[:, None] <= np.arange(1, max_rank + 1)).mean(0))
    return np.mean(curves, 0) if curves else None


def verification(positive, negative, rates) -> tuple[np.ndarray, np.ndarray]:
    """Distance thresholds for false positive rates, and the true positive rates below them.

    For each rate, the threshold is the largest distance of a negative pair such that at most this
    fraction of the negative pairs has a smaller distance.
    """
    nearest = np.sort(np.asarray(negative))
    below = np.searchsorted(nearest, nearest, side="left")
    thresholds = np.array([nearest[below <= rate * len(nearest)].max() for rate in rates])
    return thresholds, (np.asarray(positive)[:, None] < thresholds).mean(0)
