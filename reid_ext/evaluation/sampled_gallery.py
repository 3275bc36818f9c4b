"""Protocols that draw their gallery anew in each trial: VehicleID's and LLCM's."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext.evaluation._engine.inputs import (
    METRICS,
    Array,
    check_at_least,
    check_choice,
    described,
    length_of,
    read_features,
    read_integers,
    read_matrix,
)
from reid_ext.evaluation.ranking import Ranking
from reid_ext.evaluation.regdb import mean_of_trials
from reid_ext.evaluation.retrieval import evaluate, evaluate_distances


def evaluate_sampled_gallery(
    features: Array,
    *,
    ids: Array,
    trials: int = 10,
    seed: int = 0,
    metric: str = "cosine",
    max_rank: int = 50,
) -> Ranking:
    """Return CMC, mAP and mINP of galleries of one random image per identity; all others query.

    Each trial draws with ``numpy.random.default_rng([seed, trial])``; the result is the mean over
    trials. With one match per query, mAP is the mean reciprocal rank.

    Args:
        features: Of all test images, (N, D), as the queries of :func:`evaluate`.
        ids: Identities of shape (N,); those with one image are gallery alone.
        trials: 10 in the protocol.
        seed: Of the draws.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.
        max_rank: Length of the CMC.

    Raises:
        ValueError: an argument that does not fit, by its name, or identities of one image only.

    Source:
        Liu et al. 2016 (VehicleID).
    """
    where = "evaluate_sampled_gallery"
    trials = check_at_least(where, "trials", trials, 1)
    seed = check_at_least(where, "seed", seed, 0)
    x = read_matrix(where, "features", features)
    labels = read_integers(where, "ids", ids, len(x), "features", torch.device("cpu"))
    if len(labels.unique()) == len(labels):
        raise ValueError(f"{where}: ids must have an identity of two images, got {len(x)} of one")
    rankings = []
    for trial in range(trials):
        order = np.random.default_rng([seed, trial]).permutation(len(x))
        _, first = np.unique(labels.numpy()[order], return_index=True)
        gallery = torch.zeros(len(x), dtype=torch.bool, device="cpu")
        gallery[torch.from_numpy(order[first])] = True
        rankings.append(
            evaluate(
                *(x[~gallery.to(x.device)], x[gallery.to(x.device)]),
                query_ids=labels[~gallery],
                gallery_ids=labels[gallery],
                protocol="generic",
                metric=metric,
                max_rank=max_rank,
            )
        )
    rules = rankings[0].protocol.removeprefix("generic: ")
    drawn = f"vehicleid: gallery of one image per identity, seed {seed}; {rules}"
    return mean_of_trials([replace(ranking, protocol=drawn) for ranking in rankings])


def evaluate_llcm(
    query: Array,
    gallery: Array,
    *,
    query_ids: Array,
    gallery_ids: Array,
    query_cameras: Array,
    gallery_cameras: Array,
    galleries: Iterable[Array],
    metric: str = "cosine",
    max_rank: int = 50,
) -> Ranking:
    """Return CMC, mAP and mINP of the LLCM protocol, in either direction, the mean over trials.

    Images of the query's identity and camera are junk. The CMC ranks identities by their nearest
    image; mAP and mINP rank every image.

    Args:
        query: Features of one modality's test images, (Q, D), as in :func:`evaluate`.
        gallery: Features of all images of the other modality, (G, D).
        query_ids, gallery_ids: Identities of shape (Q,) and (G,).
        query_cameras, gallery_cameras: Cameras of shape (Q,) and (G,).
        galleries: The gallery's rows in each trial, as ``data.llcm.gallery_rows`` draws them.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.
        max_rank: Length of the CMC.

    Raises:
        ValueError: an argument that does not fit, by its name; or no query has a match.

    Source:
        The evaluation code that Zhang and Wang (2023) released.
    """
    where = "evaluate_llcm"
    check_choice(where, "metric", metric, METRICS)
    q, g = read_features(where, query, gallery)
    cpu = torch.device("cpu")
    q_ids = read_integers(where, "query_ids", query_ids, len(q), "query", cpu)
    g_ids = read_integers(where, "gallery_ids", gallery_ids, len(g), "gallery", cpu)
    q_cameras = read_integers(where, "query_cameras", query_cameras, len(q), "query", cpu)
    g_cameras = read_integers(where, "gallery_cameras", gallery_cameras, len(g), "gallery", cpu)
    labels = _Labels(q_ids, g_ids, q_cameras, g_cameras)
    trials = []
    for rows in _read_galleries(where, galleries, len(g)):
        of_trial = labels._replace(gallery_ids=g_ids[rows], gallery_cameras=g_cameras[rows])
        trials.append(_llcm_trial(q, g[rows.to(g.device)], of_trial, metric, max_rank))
    return mean_of_trials(trials)


def _read_galleries(where: str, galleries: Iterable[Array], size: int) -> list[Tensor]:
    """The rows of each trial, int64 on the CPU."""
    try:
        given = list(galleries)
    except TypeError:  # nothing to go through
        given = []
    if not given:
        got = described(galleries)
        raise ValueError(f"{where}: galleries must hold the rows of a trial at least, got {got}")
    trials = []
    for values in given:
        length = length_of(where, "galleries", values)
        rows = read_integers(where, "galleries", values, length, "a trial", torch.device("cpu"))
        wrong = rows[(rows < 0) | (rows >= size)]
        if length == 0 or len(wrong):
            got = f"row {int(wrong[0])}" if len(wrong) else "a trial without any"
            raise ValueError(
                f"{where}: galleries must hold rows of the gallery, from 0 to {size - 1}, got {got}"
            )
        trials.append(rows)
    return trials


class _Labels(NamedTuple):
    """(Q,) and (G,) int64 on the CPU."""

    query_ids: Tensor
    gallery_ids: Tensor
    query_cameras: Tensor
    gallery_cameras: Tensor


def _llcm_trial(q: Tensor, g: Tensor, labels: _Labels, metric: str, max_rank: int) -> Ranking:
    images = evaluate(
        *(q, g),
        **labels._asdict(),
        protocol="dukemtmc-reid",  # the same junk
        metric=metric,
        max_rank=max_rank,
    )
    junk = (labels.query_ids[:, None] == labels.gallery_ids) & (
        labels.query_cameras[:, None] == labels.gallery_cameras
    )
    distances = _distances(q, g, metric).cpu().masked_fill_(junk, torch.inf)
    counting = ~images.first_match.isnan()
    nearest, identities = _nearest_of_each(distances[counting], labels.gallery_ids)
    by_identity = evaluate_distances(
        nearest,
        query_ids=labels.query_ids[counting],
        gallery_ids=identities,
        protocol="generic",
        max_rank=max_rank,
    )
    rules = images.protocol.removeprefix("dukemtmc-reid: ")
    protocol = f"llcm: CMC of identities; {rules}"
    return replace(
        images, cmc=by_identity.cmc, first_match=by_identity.first_match, protocol=protocol
    )


def _distances(query: Tensor, gallery: Tensor, metric: str) -> Tensor:
    """(Q, G) float64, in the order of the metric."""
    q, g = query.double(), gallery.double()
    if metric == "cosine":
        return 1 - F.normalize(q, dim=1) @ F.normalize(g, dim=1).T
    return torch.cdist(q, g)


def _nearest_of_each(distances: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """The distance to the nearest image of each identity, (Q, J), and the identities, (J,)."""
    identities, codes = ids.unique(return_inverse=True)
    nearest = distances.new_full((len(distances), len(identities)), torch.inf)
    nearest.scatter_reduce_(1, codes.expand(len(distances), -1), distances, "amin")
    return nearest, identities
