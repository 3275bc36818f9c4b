"""The protocols with functions of their own: each is :func:`evaluate` with that protocol's name."""

from collections.abc import Iterable

import numpy as np
import torch

from reid_ext._runtime.argument_error import named
from reid_ext._runtime.arguments import ArgumentError, Array, integers
from reid_ext.evaluation._engine.pairs import Side
from reid_ext.evaluation.protocols import PROTOCOLS
from reid_ext.evaluation.protocols.sysu import Permutations
from reid_ext.evaluation.ranking import Ranking
from reid_ext.evaluation.retrieval import evaluate, evaluate_distances
from reid_ext.features import FeatureSet


@named()
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
    permutations: Permutations | None = None,
    gallery_images: Array | None = None,
    seed: int = 0,
    cmc: str = "official",
    metric: str = "cosine",
    max_rank: int = 50,
) -> Ranking:
    """Return the mean of the SYSU-MM01 protocol: ``evaluate(..., protocol="sysu-mm01")``.

    A query ranks the images of its trial's gallery that were not taken at its own location: a
    query of camera 3 ranks no image of camera 2, of whatever identity. Memory: the distances of
    the queries to all images of any trial (3803 x 6775 float32: 103 MB), and to those of one.

    Args:
        query: Features of all infrared images, (Q, D), as in :func:`evaluate`.
        gallery: Features of all visible images, (G, D), of which each trial uses a few.
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
        ArgumentError: an invalid argument, or no query has a match; the message says why.
    """
    sides = {
        "query": (query, query_ids, query_cameras, None),
        "gallery": (gallery, gallery_ids, gallery_cameras, gallery_images),
    }
    sets = [
        FeatureSet.of_arguments(
            "evaluate_sysu",
            {
                "features": name,
                "identities": f"{name}_ids",
                "cameras": f"{name}_cameras",
                "images": f"{name}_images",
            },
            features,
            {"identities": ids, "cameras": cameras, "images": images},
        )
        for name, (features, ids, cameras, images) in sides.items()
    ]
    return evaluate(
        *sets,
        protocol="sysu-mm01",
        mode=mode,
        shots=shots,
        trials=trials,
        permutations=permutations,
        seed=seed,
        cmc=cmc,
        metric=metric,
        max_rank=max_rank,
    )


def select_galleries(
    gallery_ids: Array,
    gallery_cameras: Array,
    *,
    mode: str = "all",
    shots: int = 1,
    trials: int = 10,
    permutations: Permutations | None = None,
    gallery_images: Array | None = None,
    seed: int = 0,
) -> list[np.ndarray]:
    """Return the gallery rows of each trial of SYSU-MM01, ascending.

    Args:
        gallery_ids: Identities of shape (G,).
        gallery_cameras: Cameras of shape (G,), each 1, 2, 4 or 5.
        mode: As in :func:`evaluate_sysu`; so are ``shots``, ``trials`` and ``seed``.
        permutations: (camera, identity) -> 1-based image numbers of shape (>= trials, n), as in
            the official ``rand_perm_cam.mat``. Trial t takes the first ``shots`` of row t.
        gallery_images: 1-based image numbers of shape (G,) within (camera, identity).

    Raises:
        ArgumentError: an invalid argument.
    """
    function, cpu = "select_galleries", torch.device("cpu")
    protocol = PROTOCOLS["sysu-mm01"]
    settings = protocol.read_settings(
        function,
        {
            "mode": mode,
            "shots": shots,
            "trials": trials,
            "permutations": permutations,
            "seed": seed,
        },
    )
    ids = integers(function, "gallery_ids", gallery_ids, device=cpu)
    if ids.ndim != 1:
        raise ArgumentError(function, "gallery_ids", "have shape (G,)", str(tuple(ids.shape)))
    columns, names = {"identities": ids}, {"identities": "gallery_ids"}
    for column, name, values in (
        ("cameras", "gallery_cameras", gallery_cameras),
        ("images", "gallery_images", gallery_images),
    ):
        names[column] = name
        if values is not None:
            columns[column] = integers(function, name, values, len(ids), "gallery_ids", cpu)
    side = protocol.prepare(Side(function, "gallery", len(ids), columns, names), settings)
    drawn = protocol.trials(side, side, settings)
    return [trial.gallery.numpy() for trial in drawn if trial.gallery is not None]


@named()
def evaluate_regdb(
    query: Array,
    gallery: Array,
    *,
    query_ids: Array,
    gallery_ids: Array,
    direction: str = "visible_to_thermal",
    trial: int | None = None,
    model_trial: int | None = None,
    metric: str = "cosine",
    max_rank: int = 50,
    average_precision: str = "step",
) -> Ranking:
    """Return the ranking of one RegDB trial: ``evaluate(..., protocol="regdb")``.

    Every gallery image is ranked, none is junk. :func:`mean_of_trials` makes the figure that
    papers report.

    Args:
        query: Features of the query modality's test images, as in :func:`evaluate`.
        gallery: Features of the other modality's test images.
        query_ids: Identities of shape (Q,).
        gallery_ids: Identities of shape (G,).
        direction: ``"visible_to_thermal"`` (visible queries) or ``"thermal_to_visible"``.
        trial: Whose test split this is, 1 to 10.
        model_trial: Whose training split the model comes from; must be the same.

    The other arguments and errors are those of :func:`evaluate`.
    """
    return evaluate(
        query,
        gallery,
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        protocol="regdb",
        direction=direction,
        trial=trial,
        model_trial=model_trial,
        metric=metric,
        max_rank=max_rank,
        average_precision=average_precision,
    )


@named()
def evaluate_llcm(
    query: Array,
    gallery: Array,
    *,
    query_ids: Array,
    gallery_ids: Array,
    query_cameras: Array,
    gallery_cameras: Array,
    galleries: Iterable[Array] | None = None,
    metric: str = "cosine",
    max_rank: int = 50,
) -> Ranking:
    """Return the mean of the LLCM protocol, in either direction: ``evaluate(protocol="llcm")``.

    Args:
        query: Features of one modality's test images, (Q, D), as in :func:`evaluate`.
        gallery: Features of all images of the other modality, (G, D).
        query_ids: Identities of shape (Q,).
        gallery_ids: Identities of shape (G,).
        query_cameras: Cameras of shape (Q,).
        gallery_cameras: Cameras of shape (G,).
        galleries: The gallery's rows in each trial; None: ten trials by the draw of the released
            code, for images in the order of the dataset's reader.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.
        max_rank: Length of the CMC.

    Raises:
        ArgumentError: an invalid argument, or no query has a match.
    """
    return evaluate(
        query,
        gallery,
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        query_cameras=query_cameras,
        gallery_cameras=gallery_cameras,
        protocol="llcm",
        galleries=galleries,
        metric=metric,
        max_rank=max_rank,
    )


@named()
def evaluate_sampled_gallery(
    features: Array,
    *,
    ids: Array,
    trials: int = 10,
    seed: int = 0,
    metric: str = "cosine",
    max_rank: int = 50,
) -> Ranking:
    """Return the mean of galleries of one random image per identity, all others being queries.

    This is VehicleID's protocol, ``evaluate(features, protocol="vehicleid")``.

    Args:
        features: Of all test images, (N, D), as the queries of :func:`evaluate`.
        ids: Identities of shape (N,); those with one image are in the gallery alone.
        trials: 10 in the protocol.
        seed: Of the draws.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.
        max_rank: Length of the CMC.

    Raises:
        ArgumentError: an invalid argument, or identities of one image only.
    """
    names = {"features": "features", "identities": "ids"}
    function = "evaluate_sampled_gallery"
    return evaluate(
        FeatureSet.of_arguments(function, names, features, {"identities": ids}),
        protocol="vehicleid",
        trials=trials,
        seed=seed,
        metric=metric,
        max_rank=max_rank,
    )


@named()
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
    """Return the single-gallery-shot CMC: ``evaluate_distances(protocol="cuhk03-classic")``.

    mAP, mINP and ``first_match`` are those of the whole gallery.

    Args:
        distances: Shape (Q, G), smaller is closer; as in :func:`evaluate_distances`.
        query_ids: Identities of shape (Q,).
        gallery_ids: Identities of shape (G,).
        query_cameras: Cameras of shape (Q,): images of the query's identity and camera are junk.
        gallery_cameras: Cameras of shape (G,).
        draws: Random galleries per query, 100 in the classic protocol and 10 in much code; None:
            the expectation over all galleries, which any number of draws approaches.
        seed: Of the draws.
        metric: As in :func:`evaluate_distances`.
        max_rank: Length of the CMC.
        average_precision: ``"step"`` or ``"trapezoid"``.

    Raises:
        ArgumentError: an invalid argument, or no query has a match; the message says why.
    """
    return evaluate_distances(
        distances,
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        query_cameras=query_cameras,
        gallery_cameras=gallery_cameras,
        protocol="cuhk03-classic",
        draws=draws,
        seed=seed,
        metric=metric,
        max_rank=max_rank,
        average_precision=average_precision,
    )
