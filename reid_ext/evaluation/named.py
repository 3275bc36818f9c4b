"""One function per protocol; each calls :func:`evaluate` with the name of that protocol."""

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
    """Return the mean over the trials of the SYSU-MM01 protocol.

    This is ``evaluate(..., protocol="sysu-mm01")``. For each query, gallery images of the query's
    own location are junk. Cameras 2 and 3 share a location, so a query of camera 3 ranks no image
    of camera 2, regardless of identity. The function holds two distance matrices in memory: from
    the queries to every gallery image that occurs in at least one trial (at most 3803 x 6775, which
    is 103 MB in float32), and to the gallery of the current trial.

    Args:
        query: Features of all infrared images, (Q, D), as in :func:`evaluate`.
        gallery: Features of all visible images, (G, D). Each trial uses a subset of them.
        query_ids: Identities of shape (Q,).
        gallery_ids: Identities of shape (G,).
        query_cameras: Cameras of shape (Q,), each 3 or 6.
        gallery_cameras: Cameras of shape (G,), each 1, 2, 4 or 5.
        mode: ``"all"`` (default) for a gallery of cameras 1, 2, 4 and 5, or ``"indoor"`` for a
            gallery of cameras 1 and 2.
        shots: Gallery images per identity and camera: 1 (single-shot, default) or 10 (multi-shot).
        trials: Number of galleries to draw. Default: 10.
        permutations: The official draw, see :func:`select_galleries`. Default: None, which draws
            with ``seed``.
        gallery_images: 1-based image numbers of shape (G,) within camera and identity. Required
            with ``permutations``. Default: None.
        seed: Non-negative seed of the draw. Default: 0.
        cmc: ``"official"`` (default) ranks only the nearest image of each identity, so that rank-k
            counts identities. ``"per_image"`` ranks every image. mAP and mINP always rank every
            image.
        metric: ``"cosine"`` (default), ``"euclidean"`` or ``"squared_euclidean"``.
        max_rank: Length of the CMC. Default: 50.

    Returns:
        :class:`Ranking`: the mean over the trials, with the ranking of each trial in ``trials``.

    Raises:
        ArgumentError: If an argument is invalid or no query has a match. The message gives the
            reason.

    Source:
        Wu et al. 2017, ICCV, and the authors' Matlab evaluation.

    Examples:
        >>> import torch
        >>> from reid_ext.evaluation import evaluate_sysu
        >>> ranking = evaluate_sysu(
        ...     torch.eye(2), torch.eye(2), query_ids=[1, 2], query_cameras=[3, 6],
        ...     gallery_ids=[1, 2], gallery_cameras=[1, 4], trials=2,
        ... )
        >>> ranking.rank(1), len(ranking.trials)
        (1.0, 2)
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
    """Return the gallery rows of each trial of SYSU-MM01, in ascending order.

    Args:
        gallery_ids: Identities of shape (G,).
        gallery_cameras: Cameras of shape (G,), each 1, 2, 4 or 5.
        mode: As in :func:`evaluate_sysu`.
        shots: As in :func:`evaluate_sysu`.
        trials: As in :func:`evaluate_sysu`.
        permutations: Mapping from (camera, identity) to 1-based image numbers of shape
            (>= trials, n), as in the official ``rand_perm_cam.mat``. Trial t takes the first
            ``shots`` numbers of row t. Default: None, which draws with ``seed``.
        gallery_images: 1-based image numbers of shape (G,) within (camera, identity). Required with
            ``permutations``. Default: None.
        seed: As in :func:`evaluate_sysu`.

    Returns:
        One int64 array of gallery rows per trial.

    Raises:
        ArgumentError: If an argument is invalid.

    Examples:
        >>> from reid_ext.evaluation import select_galleries
        >>> galleries = select_galleries([1, 1, 2, 2], [1, 1, 1, 2], trials=3)
        >>> [len(rows) for rows in galleries]  # one image per identity and camera
        [3, 3, 3]
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
    """Return the ranking of one RegDB trial.

    This is ``evaluate(..., protocol="regdb")``. Every gallery image is ranked, and no image is
    junk. Papers report the mean over ten trials, which :func:`mean_of_trials` computes.

    Args:
        query: Features of the test images of the query modality, (Q, D), as in :func:`evaluate`.
        gallery: Features of the test images of the other modality, (G, D).
        query_ids: Identities of shape (Q,).
        gallery_ids: Identities of shape (G,).
        direction: ``"visible_to_thermal"`` (default, visible queries) or ``"thermal_to_visible"``.
        trial: Number of the trial that the test images belong to, 1 to 10. Default: None, unknown.
        model_trial: Number of the trial that the model was trained on; must equal ``trial``.
            Default: None, unknown.
        metric: ``"cosine"`` (default), ``"euclidean"`` or ``"squared_euclidean"``.
        max_rank: Length of the CMC. Default: 50.
        average_precision: ``"step"`` (default) or ``"trapezoid"``, as in :func:`evaluate`.

    Returns:
        :class:`Ranking` of this trial.

    Raises:
        ArgumentError: If an argument is invalid or no query has a match.

    Source:
        Nguyen et al. 2017, Sensors; evaluation code released by Ye et al. 2021.

    Examples:
        >>> import torch
        >>> from reid_ext.evaluation import evaluate_regdb
        >>> ranking = evaluate_regdb(
        ...     torch.eye(2), torch.eye(2), query_ids=[1, 2], gallery_ids=[1, 2], trial=1
        ... )
        >>> ranking.mAP
        1.0
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
    """Return the mean over the trials of the LLCM protocol, in either direction.

    This is ``evaluate(..., protocol="llcm")``.

    Args:
        query: Features of the test images of one modality, (Q, D), as in :func:`evaluate`.
        gallery: Features of all images of the other modality, (G, D).
        query_ids: Identities of shape (Q,).
        gallery_ids: Identities of shape (G,).
        query_cameras: Cameras of shape (Q,).
        gallery_cameras: Cameras of shape (G,).
        galleries: Gallery rows of each trial. Default: None, which makes ten trials with the draw
            of the released code, for images in the order of the dataset's reader.
        metric: ``"cosine"`` (default), ``"euclidean"`` or ``"squared_euclidean"``.
        max_rank: Length of the CMC. Default: 50.

    Returns:
        :class:`Ranking`: the mean over the trials, with the ranking of each trial in ``trials``.

    Raises:
        ArgumentError: If an argument is invalid or no query has a match.

    Source:
        Zhang and Wang 2023, CVPR, and the evaluation code that they released.

    Examples:
        >>> import torch
        >>> from reid_ext.evaluation import evaluate_llcm
        >>> ranking = evaluate_llcm(
        ...     torch.eye(2), torch.eye(2), query_ids=[1, 2], gallery_ids=[1, 2],
        ...     query_cameras=[1, 1], gallery_cameras=[2, 2], galleries=[[0, 1]],
        ... )
        >>> ranking.rank(1)
        1.0
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
    """Return the mean over random galleries with one image per identity.

    All other images are queries. This is the protocol of PKU VehicleID,
    ``evaluate(features, protocol="vehicleid")``.

    Args:
        features: Features of all test images, (N, D), as the queries of :func:`evaluate`.
        ids: Identities of shape (N,). The image of an identity with a single image is always in the
            gallery.
        trials: Number of galleries to draw. Default: 10, as in the protocol.
        seed: Non-negative seed of the draws. Default: 0.
        metric: ``"cosine"`` (default), ``"euclidean"`` or ``"squared_euclidean"``.
        max_rank: Length of the CMC. Default: 50.

    Returns:
        :class:`Ranking`: the mean over the trials, with the ranking of each trial in ``trials``.

    Raises:
        ArgumentError: If an argument is invalid, or no identity has two images.

    Source:
        Liu et al. 2016, CVPR.

    Examples:
        >>> import torch
        >>> from reid_ext.evaluation import evaluate_sampled_gallery
        >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> ranking = evaluate_sampled_gallery(features, ids=[1, 1, 2, 2], trials=3)
        >>> ranking.rank(1), len(ranking.trials)
        (1.0, 3)
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
    """Return the single-gallery-shot CMC of given distances, as in the classic protocol of CUHK03.

    This is ``evaluate_distances(..., protocol="cuhk03-classic")``. mAP, mINP and ``first_match``
    are those of the whole gallery.

    Args:
        distances: Distances of shape (Q, G), smaller is closer, as in :func:`evaluate_distances`.
        query_ids: Identities of shape (Q,).
        gallery_ids: Identities of shape (G,).
        query_cameras: Cameras of shape (Q,). Gallery images of the query's identity and camera are
            junk.
        gallery_cameras: Cameras of shape (G,).
        draws: Number of random galleries per query: 100 in the classic protocol, 10 in much
            released code. Default: None, which computes the expectation over all galleries exactly.
        seed: Non-negative seed of the draws. Default: 0.
        metric: As in :func:`evaluate_distances`.
        max_rank: Length of the CMC. Default: 50.
        average_precision: ``"step"`` (default) or ``"trapezoid"``, as in :func:`evaluate`.

    Returns:
        :class:`Ranking`.

    Raises:
        ArgumentError: If an argument is invalid or no query has a match. The message gives the
            reason.

    Source:
        Li et al. 2014, CVPR.

    Examples:
        >>> from reid_ext.evaluation import evaluate_single_shot
        >>> ranking = evaluate_single_shot(
        ...     [[0.1, 0.3, 0.2]], query_ids=[1], gallery_ids=[2, 2, 1],
        ...     query_cameras=[1], gallery_cameras=[2, 2, 2],
        ... )
        >>> ranking.rank(1)  # identity 2 shows its image at 0.1 with probability 1/2
        0.5
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
