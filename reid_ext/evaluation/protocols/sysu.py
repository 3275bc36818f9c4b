"""SYSU-MM01: infrared queries, random visible galleries, and the mean over ten trials.

A query ranks the images of its trial's gallery that were taken at other locations than its own: a
query of camera 3 ranks no image of camera 2, regardless of identity.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, described
from reid_ext.evaluation._engine.identities import first_ranks
from reid_ext.evaluation._engine.pairs import Matches, Side
from reid_ext.evaluation.protocols.protocol import (
    SEED,
    TRIALS,
    Curve,
    Protocol,
    Reported,
    Setting,
    Trial,
)

CAMERAS = {"all": (1, 2, 4, 5), "indoor": (1, 2)}  # of the gallery, by mode
QUERY_CAMERAS = (3, 6)
LOCATIONS = (0, 1, 2, 2, 4, 5, 6)  # by camera number; cameras 2 and 3 share a location
Permutations: TypeAlias = Mapping[tuple[int, int], np.ndarray]


class _Group(NamedTuple):
    """The gallery images of one identity in one camera, by ascending image number."""

    camera: int
    identity: int
    rows: np.ndarray
    numbers: np.ndarray


@dataclass(frozen=True)
class Sysu(Protocol):
    """The SYSU-MM01 protocol.

    Trial t uses one ``numpy.random.default_rng([seed, t])`` to permute the images of each
    (identity, camera) of the mode, in ascending order, and takes the first ``shots`` of each group.
    Within a group images are sorted by the column ``images``, so that the order of the rows does
    not matter. Without that column, they keep the order of the rows. A group with fewer images
    contributes all of them. ``permutations`` maps (camera, identity) to image numbers of shape (>=
    trials, n), as in the official ``rand_perm_cam.mat``. Trial t then takes the first ``shots``
    numbers of row t.
    """

    def prepare(self, side: Side, settings: Mapping[str, Any]) -> Side:
        side = super().prepare(side, settings)
        allowed = QUERY_CAMERAS if side.name == "query" else CAMERAS["all"]
        cameras = side["cameras"]
        wrong = cameras[~torch.isin(cameras, torch.tensor(allowed, device=cameras.device))]
        if len(wrong):
            got = f"camera {int(wrong[0])} in {len(wrong)} of {side.rows} images"
            raise side.error("cameras", f"be among {allowed}", got)
        location = torch.tensor(LOCATIONS, device=cameras.device)
        return side.with_column("locations", location[cameras])

    def trials(self, query: Side, gallery: Side, settings: Mapping[str, Any]) -> list[Trial]:
        permutations, shots = settings["permutations"], settings["shots"]
        if permutations is not None and not isinstance(permutations, Mapping):
            requirement = "be a mapping from (camera, identity) to image numbers"
            got = described(permutations)
            raise ArgumentError(gallery.function, "permutations", requirement, got)
        if permutations is not None and "images" not in gallery.columns:
            requirement = "be given with permutations"
            advice = "pass the 1-based number of each image within its camera and identity"
            raise gallery.error("images", requirement, "None", advice)
        groups = _groups(gallery, CAMERAS[settings["mode"]])
        numbers = range(settings["trials"])
        if permutations is None:
            drawn = [_seeded(groups, shots, settings["seed"], trial) for trial in numbers]
        else:
            function = gallery.function
            drawn = [_official(function, groups, shots, permutations, t) for t in numbers]
        return [Trial(None, torch.from_numpy(rows)) for rows in drawn]

    def needs_keys(self, settings: Mapping[str, Any]) -> bool:
        return True  # all trials share the keys

    def curve(
        self,
        keys: Tensor,
        matches: Matches,
        query: Side,
        gallery: Side,
        settings: Mapping[str, Any],
        max_rank: int,
    ) -> Curve:
        if settings["cmc"] == "per_image":
            return Curve()
        return Curve(first_ranks(keys, matches, gallery))

    def describe(self, settings: Mapping[str, Any], query: Side) -> dict[str, Any]:
        draw = f"seed {settings['seed']}" if settings["permutations"] is None else "official"
        return {"mode": settings["mode"], "shots": settings["shots"], "draw": draw}

    def cmc_of(self, settings: Mapping[str, Any]) -> str:
        return "images" if settings["cmc"] == "per_image" else self.cmc


def _groups(gallery: Side, of_mode: tuple[int, ...]) -> list[_Group]:
    """Return the images of each (identity, camera), in ascending order of these."""
    identity, camera = (gallery[name].cpu().numpy() for name in ("identities", "cameras"))
    number = np.arange(gallery.rows)
    if "images" in gallery.columns:
        number = gallery["images"].cpu().numpy()
    order = np.lexsort((number, camera, identity))
    order = order[np.isin(camera[order], of_mode)]
    if len(order) == 0:
        got = f"none in {gallery.rows} images"
        raise gallery.error("cameras", f"contain one of the cameras {of_mode}", got)
    changes = (np.diff(identity[order]) != 0) | (np.diff(camera[order]) != 0)
    groups = []
    for rows in np.split(order, np.flatnonzero(changes) + 1):
        group = _Group(int(camera[rows[0]]), int(identity[rows[0]]), rows, number[rows])
        twice = group.numbers[1:][np.diff(group.numbers) == 0]
        if len(twice):
            got = f"{twice[0]} twice in camera {group.camera}, identity {group.identity}"
            raise gallery.error("images", "be unique within a camera and identity", got)
        groups.append(group)
    return groups


def _seeded(groups: list[_Group], shots: int, seed: int, trial: int) -> np.ndarray:
    rng = np.random.default_rng([seed, trial])
    chosen = [g.rows[rng.permutation(len(g.rows))[:shots]] for g in groups]
    return np.sort(np.concatenate(chosen))


def _official(
    function: str, groups: list[_Group], shots: int, permutations: Permutations, trial: int
) -> np.ndarray:
    chosen = []
    for group in groups:
        of = f"for camera {group.camera}, identity {group.identity}"
        wanted = min(shots, len(group.rows))
        numbers = _row(function, permutations, group, trial)[:shots]
        if len(np.unique(numbers)) < max(wanted, len(numbers)):
            requirement = f"contain {wanted} different image numbers in each row"
            raise ArgumentError(function, "permutations", requirement, f"{numbers.tolist()} {of}")
        place = np.searchsorted(group.numbers, numbers).clip(max=len(group.numbers) - 1)
        missing = numbers[group.numbers[place] != numbers]
        if len(missing):
            requirement = f"contain image numbers of the gallery ({len(group.rows)} {of})"
            raise ArgumentError(function, "permutations", requirement, f"number {missing[0]}")
        chosen.append(group.rows[place])
    return np.sort(np.concatenate(chosen))


def _row(function: str, permutations: Permutations, group: _Group, trial: int) -> np.ndarray:
    """Return the image numbers of a group in the order of a trial."""
    given = permutations.get((group.camera, group.identity), np.empty((0, 0), np.int64))
    try:
        permutation = np.asarray(given)
    except (TypeError, ValueError, RuntimeError):
        permutation = np.empty(0)
    if permutation.dtype.kind not in "iu" or permutation.ndim != 2 or len(permutation) <= trial:
        requirement = "contain one row of integer image numbers for each trial"
        got = f"{described(given)} for camera {group.camera}, identity {group.identity}"
        raise ArgumentError(function, "permutations", requirement, got)
    return permutation[trial]


PROTOCOL = Sysu(
    name="sysu-mm01",
    title="SYSU-MM01",
    reference="Wu et al., ICCV 2017, and the authors' Matlab evaluation",
    same=("locations",),
    junk="same location",
    cmc="of identities, each by its nearest image",
    same_queries=True,
    draws=True,
    settings=(
        Setting("mode", "all", "cameras of the gallery: all, or indoor (1, 2)", tuple(CAMERAS)),
        Setting("shots", 1, "gallery images per identity and camera", (1, 10)),
        TRIALS,
        SEED,
        Setting(
            "cmc",
            "official",
            "rank identities by their nearest image (official) or every image (per_image)",
            ("official", "per_image"),
        ),
        Setting("permutations", None, "the official permutations of rand_perm_cam.mat"),
    ),
    reported=tuple(
        Reported(f"{mode}, {shots}-shot", {"mode": mode, "shots": shots})
        for mode in CAMERAS
        for shots in (1, 10)
    ),
)
