"""Retrieval by viewpoint: among images of one viewpoint, and from one viewpoint to the others."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, Array, Gallery, choice, integer
from reid_ext.evaluation.ranking import Ranking, mean_of_trials
from reid_ext.evaluation.retrieval import evaluate
from reid_ext.features import FeatureSet

KINDS = ("single", "cross")


def evaluate_viewpoint(
    features: Gallery | FeatureSet,
    *,
    ids: Array | None = None,
    cameras: Array | None = None,
    views: Array | None = None,
    view: int,
    kind: str = "single",
    splits: int = 10,
    seed: int = 0,
    protocol: str = "market1501",
    metric: str = "cosine",
    max_rank: int = 50,
) -> Ranking:
    """Return CMC, mAP and mINP for queries of one viewpoint.

    Args:
        features: Features of shape (N, D) of the queries and the gallery of a test set together, as
            a :class:`FeatureSet` with the columns below, or as an array with the labels below.
        ids: Identities of shape (N,).
        cameras: Cameras of shape (N,), for the junk rule of ``protocol``. The source does not say
            whether images of the query's camera are left out. This function follows the protocol.
        views: Viewpoints of shape (N,), any integers. Images of another viewpoint than ``view``,
            such as -1 for unknown, are used only as gallery images of kind ``"cross"``.
        view: The viewpoint of the queries.
        kind: ``"single"`` (default): one random image of each identity searches the other images of
            that viewpoint, and the result is the mean over ``splits``. ``"cross"``: every image of
            that viewpoint searches all images of other viewpoints.
        splits: Number of random draws of the queries, for ``"single"``. Default: 10.
        seed: Non-negative seed of the draws. Default: 0.
        protocol: As in :func:`evaluate`.
        metric: As in :func:`evaluate`.
        max_rank: As in :func:`evaluate`.

    Returns:
        :class:`Ranking`.

    Raises:
        ArgumentError: If an argument is invalid, no image has that viewpoint, or, for ``"cross"``,
            no image has another one.

    Source:
        Zhu et al. 2020, arXiv:1912.01300, supplement.

    Examples:
        >>> import torch
        >>> from reid_ext.evaluation import evaluate_viewpoint
        >>> ranking = evaluate_viewpoint(
        ...     torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), ids=[1, 2, 1, 2],
        ...     cameras=[1, 1, 2, 2], views=[0, 0, 1, 1], view=0, kind="cross",
        ... )
        >>> ranking.rank(1)
        1.0
    """
    where = "evaluate_viewpoint"
    choice(where, "kind", kind, KINDS)
    view = integer(where, "view", view)
    splits = integer(where, "splits", splits, 1)
    seed = integer(where, "seed", seed, 0)
    if not isinstance(features, FeatureSet):
        names = {"identities": "ids", **{n: n for n in ("features", "cameras", "views")}}
        columns = {"identities": ids, "cameras": cameras, "views": views}
        features = FeatureSet.of_arguments(where, names, features, columns)
    rows = features.tensor()
    missing = [name for name in ("identities", "cameras", "views") if name not in features.columns]
    if missing:
        argument = features.arguments.get(missing[0], f"features.{missing[0]}")
        raise ArgumentError(where, argument, "be given", "None")
    identity, camera, seen = (
        features.columns[name].to(rows.device)  # type: ignore[union-attr]
        for name in ("identities", "cameras", "views")
    )
    inside, outside = (torch.nonzero(mask).flatten() for mask in (seen == view, seen != view))
    if len(inside) == 0 or (kind == "cross" and len(outside) == 0):
        what = f"view {view}" if len(inside) == 0 else f"a view other than {view}"
        raise ArgumentError(where, "views", f"contain an image of {what}", "no such image")

    def ranked(query: Tensor, among: Tensor) -> Ranking:
        return evaluate(
            rows[query],
            rows[among],
            query_ids=identity[query],
            gallery_ids=identity[among],
            query_cameras=camera[query],
            gallery_cameras=camera[among],
            protocol=protocol,
            metric=metric,
            max_rank=max_rank,
        )

    if kind == "cross":
        result = ranked(inside, outside)
    else:
        generator = torch.Generator().manual_seed(seed)
        draws = (_one_of_each(inside, identity[inside], generator) for _ in range(splits))
        result = mean_of_trials([ranked(*draw) for draw in draws])
    settings = {"viewpoints": kind, "view": view, **result.protocol.settings}
    return replace(result, protocol=replace(result.protocol, settings=settings))


def _one_of_each(
    rows: Tensor, identities: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return a random row of each identity, and all other rows."""
    order = torch.randperm(len(rows), generator=generator, device="cpu").to(rows.device)
    shuffled = identities[order].cpu().numpy()
    first = torch.from_numpy(np.unique(shuffled, return_index=True)[1]).to(rows.device)
    chosen = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    chosen[order[first]] = True
    return rows[chosen], rows[~chosen]
