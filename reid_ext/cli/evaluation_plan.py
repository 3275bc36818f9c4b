"""What an evaluation of a dataset would do: how much is ranked, and what is left out."""

import torch

from reid_ext.data.check import Report
from reid_ext.data.sample import Dataset
from reid_ext.evaluation import select_galleries
from reid_ext.evaluation.protocols import PROTOCOLS
from reid_ext.evaluation.task import Labels, read_task
from reid_ext.evaluation.task import Report as Options


def evaluation_plan(report: Report) -> list[str]:
    """One line for each setting of the dataset's protocol; none if the dataset was not read."""
    dataset = report.dataset
    if dataset is None:
        return []
    try:
        if report.name == "sysu-mm01":
            return _sysu(dataset)
        if report.name == "regdb":
            return _regdb(dataset)
        return [_one_gallery(dataset)]
    except ValueError as error:  # such as no query with a match
        return [f"not possible: {error}"]


def _one_gallery(dataset: Dataset) -> str:
    protocol = dataset.name if dataset.name in PROTOCOLS else "generic"
    labels = Labels(
        [s.identity for s in dataset.query],
        [s.identity for s in dataset.gallery],
        [s.camera for s in dataset.query],
        [s.camera for s in dataset.gallery],
    )
    sizes = len(dataset.query), len(dataset.gallery)
    options = Options(max_rank=50, average_precision="step", metric="cosine")
    task = read_task("data check", labels, protocol, options, sizes, torch.device("cpu"))
    counting = int((task.positives.offsets.diff() > 0).sum())
    junk = len(task.junk.indices)
    return f"{task.fingerprint}; {counting:,} queries count, {junk:,} pairs are junk"


def _sysu(dataset: Dataset) -> list[str]:
    ids, cameras = ([getattr(s, what) for s in dataset.gallery] for what in ("identity", "camera"))
    found = []
    for mode in ("all", "indoor"):
        for shots in (1, 10):
            rows = select_galleries(ids, cameras, mode=mode, shots=shots, trials=1)[0]
            found.append(
                f"sysu-mm01: {mode}-search, {shots}-shot, {len(dataset.query):,} queries x "
                f"{len(rows):,} gallery images in each trial"
            )
    return found


def _regdb(dataset: Dataset) -> list[str]:
    visible, thermal = len(dataset.query), len(dataset.gallery)
    return [
        f"regdb: visible to thermal, {visible:,} queries x {thermal:,} gallery images, no junk",
        f"regdb: thermal to visible, {thermal:,} queries x {visible:,} gallery images, no junk",
    ]
