"""LLCM: nine cameras in low light, visible against infrared, ten trials with random galleries.

Gallery images of the query's identity and camera are junk. The CMC ranks identities by their
nearest image. mAP and mINP rank every image.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, described, integers
from reid_ext.evaluation._engine.identities import first_ranks
from reid_ext.evaluation._engine.pairs import Matches, Side
from reid_ext.evaluation.protocols.protocol import TRIALS, Curve, Protocol, Reported, Setting, Trial


@dataclass(frozen=True)
class LLCM(Protocol):
    """The LLCM protocol."""

    def trials(self, query: Side, gallery: Side, settings: Mapping[str, Any]) -> list[Trial]:
        if settings["galleries"] is not None:
            return [Trial(None, rows) for rows in _given(gallery, settings["galleries"])]
        return [Trial(None, _drawn(gallery, trial)) for trial in range(settings["trials"])]

    def needs_keys(self, settings: Mapping[str, Any]) -> bool:
        return True

    def curve(
        self,
        keys: Tensor,
        matches: Matches,
        query: Side,
        gallery: Side,
        settings: Mapping[str, Any],
        max_rank: int,
    ) -> Curve:
        return Curve(first_ranks(keys, matches, gallery))

    def describe(self, settings: Mapping[str, Any], query: Side) -> dict[str, Any]:
        return {"draw": "official" if settings["galleries"] is None else "given"}


def _drawn(gallery: Side, trial: int) -> Tensor:
    """Return the gallery rows of a trial: one image of each identity and camera, ascending.

    The draw equals that of the released code if the images are in the order of its file lists,
    which is the order of ``data.load("llcm", root)``.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    keys = zip(gallery["identities"].tolist(), gallery["cameras"].tolist(), strict=True)
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    draw = random.Random(trial)
    return torch.tensor(sorted(draw.choice(rows) for rows in groups.values()), device="cpu")


def _given(gallery: Side, galleries: Any) -> list[Tensor]:
    """Return the rows of each trial that the caller passed, int64 on the CPU."""
    function = gallery.function
    try:
        given = list(galleries)
    except TypeError:  # not iterable
        given = []
    if not given:
        requirement = "contain the gallery rows of at least one trial"
        raise ArgumentError(function, "galleries", requirement, described(galleries))
    trials = []
    for values in given:
        rows = integers(function, "galleries", values, device=torch.device("cpu"))
        wrong = rows[(rows < 0) | (rows >= gallery.rows)]
        if rows.ndim != 1 or len(rows) == 0 or len(wrong):
            got = f"row {int(wrong[0])}" if len(wrong) else f"shape {tuple(rows.shape)}"
            requirement = f"contain lists of gallery rows from 0 to {gallery.rows - 1}"
            raise ArgumentError(function, "galleries", requirement, got)
        trials.append(rows.sort().values)  # ties go to the lower gallery row
    return trials


PROTOCOL = LLCM(
    name="llcm",
    title="LLCM",
    reference="Zhang and Wang, CVPR 2023, and the evaluation code that they released",
    cmc="of identities, each by its nearest image",
    draws=True,
    settings=(
        TRIALS,
        Setting("galleries", None, "gallery rows of each trial, instead of a random draw"),
    ),
    reported=(
        Reported("infrared to visible"),
        Reported("visible to infrared", exchanged=True),
    ),
)
