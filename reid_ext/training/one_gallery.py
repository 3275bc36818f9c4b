"""Evaluation and figures of the datasets with one gallery for all queries."""

import argparse
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from reid_ext import data
from reid_ext.evaluation import Ranking, evaluate, evaluate_viewpoint, rerank
from reid_ext.training import results as report
from reid_ext.training.view_flag import read_views_flag

LISTED_QUERIES = 6
VIEWS = ("front", "side", "back")


def flags(parser: argparse.ArgumentParser) -> None:
    """Add --rerank and --by-viewpoint."""
    what = "evaluate and draw after k-reciprocal re-ranking, too"
    parser.add_argument("--rerank", action="store_true", help=what)
    what = "evaluate within each viewpoint and across them, too, as VA-reID's supplement does"
    parser.add_argument("--by-viewpoint", action="store_true", help=what)


def rank(
    args: argparse.Namespace, dataset: data.Dataset, query: Tensor, gallery: Tensor, metric: str
) -> dict[str, Ranking]:
    """The ranking of the gallery by the protocol of the dataset's name, and the re-ranked one."""
    name = dataset.name
    rankings = {name: _rank(dataset, query, gallery, metric, False)}
    if args.rerank:
        rankings[f"{name}, re-ranked"] = _rank(dataset, query, gallery, metric, True)
    if args.by_viewpoint:
        rankings |= _by_viewpoint(args, dataset, torch.cat([query, gallery]), metric)
    return rankings


def _by_viewpoint(
    args: argparse.Namespace, dataset: data.Dataset, features: Tensor, metric: str
) -> dict[str, Ranking]:
    """Of all test images with a known view, which distractors have not."""
    if args.views:
        dataset = data.with_views(dataset, read_views_flag(args.views)).dataset
    samples = [*dataset.query, *dataset.gallery]
    rows = [row for row, s in enumerate(samples) if s.view is not None]
    if not rows:
        raise ValueError(
            "--by-viewpoint: the test images must have view labels, got none; give them with "
            "--views FILE"
        )
    return {
        f"{kind}-viewpoint, {name}": evaluate_viewpoint(
            features[rows],
            ids=[samples[row].identity for row in rows],
            cameras=[samples[row].camera for row in rows],
            views=[samples[row].view for row in rows],
            view=view,
            kind=kind,
            seed=args.seed,
            protocol=dataset.name,
            metric=metric,
        )
        for kind in ("single", "cross")
        for view, name in enumerate(VIEWS)
    }


def _rank(
    dataset: data.Dataset, query: Tensor, gallery: Tensor, metric: str, reranked: bool
) -> Ranking:
    return evaluate(
        query,
        gallery,
        query_ids=[s.identity for s in dataset.query],
        gallery_ids=[s.identity for s in dataset.gallery],
        query_cameras=[s.camera for s in dataset.query],
        gallery_cameras=[s.camera for s in dataset.gallery],
        protocol=dataset.name,
        metric=metric,
        rerank=reranked,
    )


def draw(
    args: argparse.Namespace,
    dataset: data.Dataset,
    rankings: Mapping[str, Ranking],
    query: Tensor,
    gallery: Tensor,
    *,
    ignored_identity: int | None = None,
    same_camera_is_junk: bool = True,
) -> None:
    """Draw cmc.png, and ranked_list.png of a few queries without what their protocol leaves out.

    With --rerank also ranked_list_reranked.png, of the same queries.
    """
    report.plot_cmc(rankings, args.out / "cmc.png", f"{dataset.name} protocol, {args.loss}")
    chosen = torch.randperm(len(query), generator=torch.Generator().manual_seed(args.seed))
    chosen = chosen[:LISTED_QUERIES]
    queries = [dataset.query[q] for q in chosen.tolist()]
    ranked = {"ranked_list": 1 - F.normalize(query[chosen]) @ F.normalize(gallery).T}
    if getattr(args, "rerank", False):
        ranked["ranked_list_reranked"] = rerank(query, gallery, metric="cosine")[chosen]
    for name, distances in ranked.items():
        for row, q in enumerate(queries):
            junk = [
                g.identity == ignored_identity
                or (same_camera_is_junk and (g.identity, g.camera) == (q.identity, q.camera))
                for g in dataset.gallery
            ]
            distances[row, torch.tensor(junk)] = torch.inf
        how = "" if name == "ranked_list" else ", re-ranked"
        title = f"queries and their nearest images ({args.loss}{how})"
        path = args.out / f"{name}.png"
        report.draw_ranked_lists(queries, dataset.gallery, distances, path, title)
