"""What an evaluation of a dataset would do: how much is ranked, and what is left out."""

import torch

from reid_ext.data import folders, manifest
from reid_ext.data.checking import Report
from reid_ext.data.sample import Dataset
from reid_ext.evaluation import evaluate, select_galleries
from reid_ext.evaluation.protocols import PROTOCOLS, REGDB, SYSU


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
        if report.name == "llcm":
            return _llcm(dataset)
        if report.name == "vehicleid":
            return _vehicleid(dataset)
        return [_one_gallery(dataset)]
    except ValueError as error:  # such as no query with a match
        return [f"not possible: {error}"]


def protocol_of(dataset: Dataset) -> str | None:
    """What ``reid-ext evaluate --protocol`` takes for it; None for a protocol that it lacks."""
    if dataset.name in (*PROTOCOLS, SYSU, REGDB):
        return dataset.name
    if dataset.name not in (folders.NAME, manifest.NAME):
        return None
    known = len({s.camera for s in [*dataset.query, *dataset.gallery]}) > 1
    return "dukemtmc-reid" if known else "generic"  # the junk of a camera, or none


def _one_gallery(dataset: Dataset) -> str:
    """Features that are all alike are ranked: which of them count depends on labels alone."""
    protocol = protocol_of(dataset) or "generic"
    ranking = evaluate(
        torch.ones(len(dataset.query), 1),
        torch.ones(len(dataset.gallery), 1),
        query_ids=[s.identity for s in dataset.query],
        gallery_ids=[s.identity for s in dataset.gallery],
        query_cameras=[s.camera for s in dataset.query],
        gallery_cameras=[s.camera for s in dataset.gallery],
        protocol=protocol,
    )
    return f"{ranking.protocol}; {ranking.num_valid:,} queries count"


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


def _llcm(dataset: Dataset) -> list[str]:
    found = []
    for name, query, gallery in (
        ("infrared to visible", dataset.query, dataset.gallery),
        ("visible to infrared", dataset.gallery, dataset.query),
    ):
        drawn = len({(s.identity, s.camera) for s in gallery})
        found.append(f"llcm: {name}, {len(query):,} queries x {drawn:,} images in each trial")
    return found


def _vehicleid(dataset: Dataset) -> list[str]:
    vehicles = len({s.identity for s in dataset.gallery})
    queries = len(dataset.gallery) - vehicles
    return [f"vehicleid: {queries:,} queries x {vehicles:,} gallery images in each trial"]
