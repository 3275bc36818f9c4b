"""One evaluation that a report shows: features, what is known of the images, and the ranking."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reid_ext import ops
from reid_ext.evaluation import Confidence, Interval, Ranking, bootstrap
from reid_ext.evaluation.protocols import CLASSIC, PROTOCOLS, REGDB, SYSU, Protocol
from reid_ext.evaluation.sysu import LOCATIONS

PAIRS_AT_ONCE = 1 << 22
RULES = PROTOCOLS | {REGDB: PROTOCOLS["generic"]}  # SYSU-MM01's are in the methods of Run


class Side(NamedTuple):
    """Queries or gallery: features (N, D), identities (N,); cameras and paths (N,) if known."""

    features: Tensor
    identities: np.ndarray
    cameras: np.ndarray | None = None
    paths: np.ndarray | None = None

    def rows(self, rows: np.ndarray) -> "Side":
        """Some of the images."""
        cameras = None if self.cameras is None else self.cameras[rows]
        paths = None if self.paths is None else self.paths[rows]
        features = self.features[torch.from_numpy(rows)]
        return Side(features, self.identities[rows], cameras, paths)


@dataclass(frozen=True, eq=False)
class Run:
    """A ranking and what it was made of.

    Attributes:
        name: As the report calls it; any text.
        query: The queries.
        gallery: The gallery.
        ranking: As :func:`reid_ext.evaluate` returned it for these, of one gallery.
        protocol: The name given to it; ``"sysu-mm01"`` or ``"regdb"`` of their functions.
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.
        distances: (Q, G), where the ranking is not by that metric alone: re-ranked ones.
        mean: Where there are several trials, their mean, with all of them in its ``trials``;
            the attributes above are then those of one trial.
        trial: Which one, such as ``"trial 1 of 10"``.
    """

    name: str
    query: Side
    gallery: Side
    ranking: Ranking
    protocol: str = "market1501"
    metric: str = "cosine"
    distances: Tensor | None = None
    mean: Ranking | None = None
    trial: str = ""

    @property
    def rules(self) -> Protocol:
        """The junk rule of the protocol."""
        return RULES.get(self.protocol, Protocol())

    @property
    def whole(self) -> Ranking:
        """What papers report: the mean where there are trials."""
        return self.ranking if self.mean is None else self.mean

    def precisions(self) -> np.ndarray:
        """Average precision of the queries of all trials that have a match."""
        of_trials = [trial.average_precision for trial in self.whole.trials]
        ap = torch.cat(of_trials or [self.whole.average_precision]).numpy()
        return ap[~np.isnan(ap)]

    def spread(self) -> Confidence | None:
        """Of several trials the least and the largest of each figure, of one alone None; without
        trials :meth:`confidence`.
        """
        trials = self.whole.trials
        if len(trials) < 2:
            return None if trials else self.confidence()
        figures = (
            torch.stack([trial.cmc for trial in trials]),
            torch.tensor([trial.mAP for trial in trials], dtype=torch.float64),
            torch.tensor([trial.mINP for trial in trials], dtype=torch.float64),
        )
        return Confidence(*(Interval(*of.aminmax(dim=0)) for of in figures))

    def confidence(self) -> Confidence | None:
        """95 % intervals; None where the ranking has none, such as a mean over galleries."""
        if self.ranking.trials or self.protocol == CLASSIC:
            return None
        return bootstrap(self.ranking)

    def same_identity(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), G) bool: pairs of one identity, junk or not."""
        return self.query.identities[rows][:, None] == self.gallery.identities[None]

    def junk(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows), G) bool: pairs that the protocol leaves out."""
        if (places := self._places()) is not None:
            return places[0][rows][:, None] == places[1][None]
        out = np.zeros((len(rows), len(self.gallery.identities)), bool)
        rules = self.rules
        if rules.ignored_identity is not None:
            out |= (self.gallery.identities == rules.ignored_identity)[None]
        cameras = self.query.cameras, self.gallery.cameras
        if rules.same_camera_is_junk and cameras[0] is not None and cameras[1] is not None:
            out |= self.same_identity(rows) & (cameras[0][rows][:, None] == cameras[1][None])
        return out

    def may_match(self, camera: int) -> np.ndarray:
        """(Q,) bool: queries to which an image of their identity by this camera is not junk."""
        cameras = self.query.cameras
        if (places := self._places()) is not None:
            return places[0] != LOCATIONS[camera]
        if cameras is None or not self.rules.same_camera_is_junk:
            return np.ones(len(self.query.identities), bool)
        return cameras != camera

    def _places(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Where queries (Q,) and gallery (G,) were seen, if images of one place are all junk."""
        cameras = self.query.cameras, self.gallery.cameras
        if self.protocol != SYSU or cameras[0] is None or cameras[1] is None:
            return None
        place = np.array(LOCATIONS)
        return place[cameras[0]], place[cameras[1]]

    def of_camera(self, camera: int) -> np.ndarray:
        """Gallery rows of a camera, without those that the protocol ignores."""
        kept = self.gallery.cameras == camera
        return np.flatnonzero(kept & (self.gallery.identities != self.rules.ignored_identity))

    def angles(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Blocks of these rows with their angles to the gallery, radians (rows, G)."""
        step = max(1, PAIRS_AT_ONCE // max(1, len(self.gallery.identities)))
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            q = self.query.features[torch.from_numpy(some)]
            angle = ops.cosine_matrix(q.float(), self.gallery.features.float(), angle=True)
            yield some, angle.cpu().numpy()
