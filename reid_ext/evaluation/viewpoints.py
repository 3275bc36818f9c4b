"""Retrieval by viewpoint: within the images of one viewpoint, and from one to the others."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, Array, choice, integer, integers, matrix
from reid_ext.evaluation.ranking import Ranking, mean_of_trials
from reid_ext.evaluation.retrieval import evaluate

KINDS = ("single", "cross")


def evaluate_viewpoint(
    features: Array,
    *,
    ids: Array,
    cameras: Array,
    views: Array,
    view: int,
    kind: str = "single",
    splits: int = 10,
    seed: int = 0,
    protocol: str = "market1501",
    metric: str = "cosine",
    max_rank: int = 50,
) -> Ranking:
    """Return CMC, mAP and mINP of the images of one viewpoint.

    Args:
        features: (N, D), of the queries and the gallery of a test set together.
        ids: Identities, (N,).
        cameras: (N,), for the junk rule of ``protocol``. The source does not say whether images
            of the query's camera are left out; here they are, as in all else.
        views: (N,); images of a view other than these integers, such as -1, only ever are gallery
            images of kind ``"cross"``.
        view: The viewpoint of the queries.
        kind: ``"single"``: one random image of each identity searches the other images of that
            viewpoint; mean over ``splits``. ``"cross"``: every image of it searches all images of
            other viewpoints.
        splits: Random draws of the queries, for ``"single"``.
        seed: Of the draws.
        protocol: As in :func:`evaluate`, like ``metric``, ``max_rank`` and the errors.

    Raises:
        ValueError: no image of that view, or none of another; or as :func:`evaluate`.

    Source:
        Zhu et al. 2020, arXiv:1912.01300, supplement.
    """
    where = "evaluate_viewpoint"
    choice(where, "kind", kind, KINDS)
    view = integer(where, "view", view)
    splits = integer(where, "splits", splits, 1)
    seed = integer(where, "seed", seed, 0)
    rows = matrix(where, "features", features)
    identity, camera, seen = (
        integers(where, name, values, len(rows), "features", rows.device)
        for name, values in (("ids", ids), ("cameras", cameras), ("views", views))
    )
    inside, outside = (torch.nonzero(mask).flatten() for mask in (seen == view, seen != view))
    if len(inside) == 0 or (kind == "cross" and len(outside) == 0):
        what = "of" if len(inside) == 0 else "of others than"
        raise ArgumentError(where, "views", f"have images {what} view {view}", "none")

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
    """A random row of each identity, and all others."""
    order = torch.randperm(len(rows), generator=generator, device="cpu").to(rows.device)
    shuffled = identities[order].cpu().numpy()
    first = torch.from_numpy(np.unique(shuffled, return_index=True)[1]).to(rows.device)
    chosen = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    chosen[order[first]] = True
    return rows[chosen], rows[~chosen]
