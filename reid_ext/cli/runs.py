"""The runs of ``reid-ext evaluate``: one for each name in the report.

A run with several pairs of files, such as the trials of RegDB, gives the mean of their results. The
report shows single images of the first pair only.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.cli.command import WrongUse, about_files
from reid_ext.cli.sides import NotFinite, read_one_set, read_sides, warn_not_finite
from reid_ext.evaluation import PROTOCOLS, Ranking, mean_of_trials
from reid_ext.report import Run


class Files(NamedTuple):
    """Two files, or one (gallery None) that holds both sides or from which galleries are drawn."""

    query: Path
    gallery: Path | None


class Evaluated(NamedTuple):
    """A run, and the rows of its files that are not finite."""

    run: Run
    not_finite: list[NotFinite]


def read_files(flag: str, text: str) -> Files:
    """Read ``QUERY.npz,GALLERY.npz`` or one file."""
    query, _, gallery = text.partition(",")
    if not query:
        raise WrongUse(f"{flag} must be QUERY.npz,GALLERY.npz, got {text!r}")
    return Files(Path(query), Path(gallery) if gallery else None)


def check_files(args: argparse.Namespace, sources: dict[str, list[Files]]) -> None:
    """Raise WrongUse for a gallery file if the protocol draws the gallery from the queries."""
    if not PROTOCOLS[args.protocol].one_set:
        return
    for files in (one for trials in sources.values() for one in trials):
        if files.gallery is not None:
            raise WrongUse(
                f"GALLERY.npz must be left out with --protocol {args.protocol}, which draws its "
                f"galleries from QUERY.npz, got {files.gallery}"
            )


def evaluated(
    args: argparse.Namespace,
    device: torch.device,
    name: str,
    sources: Sequence[Files],
    options: dict[str, Any],
) -> Evaluated:
    """Evaluate the files by ``options``, the arguments of :func:`reid_ext.evaluate`."""
    runs, not_finite = [], []
    for files in sources:
        one = _run(name, files, device, {"protocol": args.protocol, **options})
        runs.append(one.run)
        not_finite += one.not_finite
    first = runs[0]
    if len(runs) > 1:
        _check_alike(sources, [run.ranking for run in runs])
        of_all = [trial for run in runs for trial in run.ranking.trials or [run.ranking]]
        first = replace(first, ranking=mean_of_trials(of_all))
    return Evaluated(first, not_finite)


def _run(name: str, files: Files, device: torch.device, options: dict[str, Any]) -> Evaluated:
    with about_files(*files):
        if PROTOCOLS[options["protocol"]].one_set:
            sides = read_one_set(files.query, device)
        else:
            sides = read_sides(*files, device)
        if not options["rerank"]:
            warn_not_finite(sides.not_finite)
        return Evaluated(Run.of(name, *sides.sets, **options), sides.not_finite)


def _check_alike(sources: Sequence[Files], rankings: Sequence[Ranking]) -> None:
    """Raise ArgumentError if a trial has other settings, such as another direction of RegDB."""
    wanted = rankings[0].protocol.settings
    for files, ranking in zip(sources, rankings, strict=True):
        for name, value in ranking.protocol.settings.items():
            if value != wanted[name]:
                requirement = f"have {name} {wanted[name]} like {sources[0].query}"
                raise ArgumentError("evaluate", str(files.query), requirement, str(value))
