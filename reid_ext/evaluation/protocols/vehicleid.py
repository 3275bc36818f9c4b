"""PKU VehicleID: one random image of each identity is the gallery; all other images are queries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from reid_ext.evaluation._engine.pairs import Side
from reid_ext.evaluation.protocols.protocol import SEED, TRIALS, Protocol, Trial


@dataclass(frozen=True)
class VehicleID(Protocol):
    """The VehicleID protocol: queries and gallery are drawn from one set in each trial.

    Trial t draws with ``numpy.random.default_rng([seed, t])``. The image of an identity with a
    single image is always in the gallery. Each query has one match, so mAP is the mean reciprocal
    rank.
    """

    def trials(self, query: Side, gallery: Side, settings: Mapping[str, Any]) -> list[Trial]:
        ids = query["identities"].cpu().numpy()
        if len(np.unique(ids)) == len(ids):
            got = f"{len(ids)} identities with one image each"
            raise query.error("identities", "contain an identity with at least two images", got)
        return [_drawn(ids, settings["seed"], trial) for trial in range(settings["trials"])]


def _drawn(ids: np.ndarray, seed: int, trial: int) -> Trial:
    order = np.random.default_rng([seed, trial]).permutation(len(ids))
    _, first = np.unique(ids[order], return_index=True)
    in_gallery = np.zeros(len(ids), bool)
    in_gallery[order[first]] = True
    return Trial(*(torch.from_numpy(np.flatnonzero(mask)) for mask in (~in_gallery, in_gallery)))


PROTOCOL = VehicleID(
    name="vehicleid",
    title="PKU VehicleID",
    reference="Liu et al., CVPR 2016",
    columns=("identities",),
    same=(),
    junk="",
    one_set=True,
    draws=True,
    settings=(TRIALS, SEED),
)
