"""How ``reid-ext evaluate`` evaluates feature files by each protocol.

Several trials give their mean; what a report shows of single images is of the first.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from reid_ext.cli.features import Features
from reid_ext.cli.sides import NotFinite, Sides, read_sides, refuse_not_finite, warn_not_finite
from reid_ext.evaluation import (
    Ranking,
    evaluate,
    evaluate_distances,
    evaluate_regdb,
    evaluate_sysu,
    mean_of_trials,
    rerank,
    select_galleries,
)
from reid_ext.evaluation.protocols import REGDB, SYSU
from reid_ext.evaluation.ranking import AVERAGE_PRECISIONS
from reid_ext.evaluation.regdb import DIRECTIONS
from reid_ext.evaluation.retrieval import call_reranked
from reid_ext.report import Run, Side

Files = tuple[Path, Path | None]  # query and gallery, or one that holds both
WITHOUT_CAMERAS = ("generic", REGDB)


class Evaluated(NamedTuple):
    """A run, and rows of its files that are not finite."""

    run: Run
    not_finite: list[NotFinite]


def evaluated(
    args: argparse.Namespace,
    device: torch.device,
    name: str,
    trials: Sequence[Files],
    reranking: dict[str, Any] | None,
) -> Evaluated:
    """Evaluate the files of each trial, which but for RegDB is one.

    ``reranking``: arguments of :func:`reid_ext.rerank`; None: none.
    """
    read = [read_sides(*files) for files in trials]
    if args.protocol not in WITHOUT_CAMERAS:
        for files, sides_of in zip(trials, read, strict=True):
            _check_cameras(args.protocol, files, sides_of)
    not_finite = [one for sides in read for one in sides.not_finite]
    if reranking is not None:
        refuse_not_finite(not_finite)
    warn_not_finite(not_finite)
    sides = [(_side(one.query, device), _side(one.gallery, device)) for one in read]
    if args.protocol == REGDB:
        run = _regdb(args, name, sides, _direction(args, trials, read))
    elif args.protocol == SYSU:
        run = _sysu(args, name, *sides[0])
    else:
        run = _one_gallery(args, name, *sides[0], reranking)
    return Evaluated(run, not_finite)


def _check_cameras(protocol: str, files: Files, sides: Sides) -> None:
    query, gallery = files
    for path, of in ((query, sides.query), (gallery or query, sides.gallery)):
        if of.cameras is None:
            raise ValueError(
                f"{path} must have cameras for --protocol {protocol}, got none; without cameras "
                "use --protocol generic"
            )


def _side(of: Features, device: torch.device) -> Side:
    return Side(torch.from_numpy(of.features).to(device), of.identities, of.cameras, of.paths)


def _one_gallery(
    args: argparse.Namespace,
    name: str,
    query: Side,
    gallery: Side,
    reranking: dict[str, Any] | None,
) -> Run:
    given: dict[str, Any] = {
        "query_ids": query.identities,
        "gallery_ids": gallery.identities,
        "query_cameras": query.cameras,
        "gallery_cameras": gallery.cameras,
        "protocol": args.protocol,
        "max_rank": args.max_rank,
        "average_precision": args.average_precision or AVERAGE_PRECISIONS[0],
    }
    features, distances = (query.features, gallery.features), None
    if reranking is None:
        ranking = evaluate(*features, **given, metric=args.metric)
    else:
        distances = rerank(*features, metric=args.metric, **reranking)
        ranking = call_reranked(evaluate_distances(distances, **given), args.metric, reranking)
    return Run(name, query, gallery, ranking, args.protocol, args.metric, distances)


def _sysu(args: argparse.Namespace, name: str, query: Side, gallery: Side) -> Run:
    given = {key: getattr(args, key) for key in ("mode", "shots", "trials", "seed")}
    draw = {key: value for key, value in given.items() if value is not None}
    mean = evaluate_sysu(
        query.features,
        gallery.features,
        query_ids=query.identities,
        gallery_ids=gallery.identities,
        query_cameras=query.cameras,  # type: ignore[arg-type]
        gallery_cameras=gallery.cameras,  # type: ignore[arg-type]
        **draw,
        cmc=args.cmc or "official",
        metric=args.metric,
        max_rank=args.max_rank,
    )
    rows = select_galleries(gallery.identities, gallery.cameras, **draw)[0]  # type: ignore[arg-type]
    return _of_first(args, name, query, gallery.rows(rows), mean)


def _regdb(
    args: argparse.Namespace, name: str, trials: Sequence[tuple[Side, Side]], direction: str
) -> Run:
    rankings = [
        evaluate_regdb(
            query.features,
            gallery.features,
            query_ids=query.identities,
            gallery_ids=gallery.identities,
            direction=direction,
            metric=args.metric,
            max_rank=args.max_rank,
            average_precision=args.average_precision or AVERAGE_PRECISIONS[0],
        )
        for query, gallery in trials
    ]
    if len(rankings) == 1:
        return Run(name, *trials[0], rankings[0], REGDB, args.metric)
    return _of_first(args, name, *trials[0], mean_of_trials(rankings))


def _of_first(
    args: argparse.Namespace, name: str, query: Side, gallery: Side, mean: Ranking
) -> Run:
    trial = f"trial 1 of {len(mean.trials)}"
    first = mean.trials[0]
    return Run(name, query, gallery, first, args.protocol, args.metric, mean=mean, trial=trial)


def _direction(args: argparse.Namespace, trials: Sequence[Files], read: Sequence[Sides]) -> str:
    """As the modalities of the queries say, where a file has them; ValueError for another."""
    direction = args.direction
    for (file, _), sides in zip(trials, read, strict=True):
        modalities = sides.query.modalities
        if modalities is None or not len(modalities):
            continue
        of_file = DIRECTIONS[int(modalities[0] != 0)]
        direction = direction or of_file
        if of_file != direction:
            raise ValueError(
                f"evaluate: --direction must be that of the files, got {direction}, but {file} is "
                f"a query of {of_file}; give the two files the other way round"
            )
    return direction or DIRECTIONS[0]
