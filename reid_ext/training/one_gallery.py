"""Evaluation and figures of the datasets with one gallery for all queries."""

import argparse
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import data
from reid_ext.evaluation import Ranking, evaluate
from reid_ext.training import report

LISTED_QUERIES = 6


def rank(
    dataset: data.Dataset, query: Tensor, gallery: Tensor, metric: str, protocol: str | None = None
) -> Ranking:
    """The ranking of the dataset's gallery by a protocol, by default that of its own name."""
    return evaluate(
        query,
        gallery,
        query_ids=[s.identity for s in dataset.query],
        gallery_ids=[s.identity for s in dataset.gallery],
        query_cameras=[s.camera for s in dataset.query],
        gallery_cameras=[s.camera for s in dataset.gallery],
        protocol=protocol or dataset.name,
        metric=metric,
    )


def draw(
    args: argparse.Namespace,
    dataset: data.Dataset,
    rankings: Mapping[str, Ranking],
    query: Tensor,
    gallery: Tensor,
    *,
    ignored_identity: int | None = None,
) -> None:
    """Draw cmc.png, and ranked_list.png of a few queries without what their protocol leaves out."""
    report.plot_cmc(rankings, args.out / "cmc.png", f"{dataset.name} protocol, {args.loss}")
    chosen = torch.randperm(len(query), generator=torch.Generator().manual_seed(args.seed))
    chosen = chosen[:LISTED_QUERIES]
    queries = [dataset.query[q] for q in chosen.tolist()]
    distances = 1 - F.normalize(query[chosen]) @ F.normalize(gallery).T
    for row, q in enumerate(queries):
        junk = [
            g.identity == ignored_identity or (g.identity, g.camera) == (q.identity, q.camera)
            for g in dataset.gallery
        ]
        distances[row, torch.tensor(junk)] = torch.inf
    title = f"queries and their nearest images ({args.loss})"
    path = args.out / "ranked_list.png"
    report.draw_ranked_lists(queries, dataset.gallery, distances, path, title)
