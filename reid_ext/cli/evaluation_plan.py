"""The evaluation plan of a dataset: how many images are ranked, and what is left out."""

from typing import Any

import torch

from reid_ext.cli.protocols import protocol_of
from reid_ext.data import CheckReport, Dataset, Sample, columns
from reid_ext.evaluation import Protocol, Reported, evaluate
from reid_ext.features import FeatureSet


def evaluation_plan(report: CheckReport) -> list[str]:
    """One line for each result that papers report; no line if the dataset was not read."""
    if report.dataset is None:
        return []
    protocol = protocol_of(report.dataset)
    try:
        return [_line(report.dataset, protocol, result) for result in protocol.results()]
    except ValueError as error:  # for example, no query has a match
        return [f"not possible: {error}"]


def _line(dataset: Dataset, protocol: Protocol, result: Reported) -> str:
    """Evaluate constant features, because the counts depend on the labels only."""
    samples = [dataset.query, dataset.gallery][:: -1 if result.exchanged else 1]
    sets = [_labels(of, dataset.name) for of in samples[: 1 if protocol.one_set else 2]]
    has_trials = any(setting.name == "trials" for setting in protocol.settings)
    settings = {**result.settings, **({"trials": 1} if has_trials else {})}
    ranking = evaluate(*sets, protocol=protocol, **settings)
    made = ranking.protocol
    name = protocol.name if result.name == protocol.name else f"{protocol.name}, {result.name}"
    ignored = f" ({made.ignored:,} ignored)" if made.ignored else ""
    each = " in each trial" if protocol.draws else ""
    return (
        f"{name}: {made.queries:,} queries x {made.gallery:,} gallery images{ignored}{each}; "
        f"{ranking.num_valid:,} queries have a match; junk: {', '.join(made.junk) or 'none'}"
    )


def _labels(samples: list[Sample], name: str) -> FeatureSet:
    known: dict[str, Any] = dict(columns(samples, name))
    del known["paths"]
    return FeatureSet(torch.ones(len(samples), 1), **known)
