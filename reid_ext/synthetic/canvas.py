"""The canvas: projects body coordinates to pixels and draws shapes.

Body coordinates are (x to the person's left, y up, z forward) in fractions of the body height, with
the origin between the feet. A pixel has a part label and a shade, so visible and infrared cameras
use the same drawing. A shape has a dark outline and a lighter core.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid_ext.synthetic import textures

CANVAS_WIDTH, CANVAS_HEIGHT = 128, 256  # twice the image size, for anti-aliasing

Point = tuple[float, float, float]
Level = tuple[float, float, float, float]


class Placement(NamedTuple):
    """Position of a body in the picture; yaw 0 faces the camera, lengths are canvas pixels."""

    yaw: float
    centre_x: float
    foot_y: float
    size: float
    lean: float  # sideways shift of the top, fraction of the height
    tilt: float  # downward tilt of the camera: near points move down by tilt * depth


class Limb(NamedTuple):
    """A tapered capsule between two points of the body."""

    start: Point
    end: Point
    start_radius: float
    end_radius: float
    label: int


class Hull(NamedTuple):
    """A projected limb: outline, lighter core, label and depth (larger is nearer)."""

    outline: NDArray[np.int32]
    core: NDArray[np.int32]
    label: int
    depth: float


class Canvas:
    """Draws shapes in body coordinates into ``labels`` and ``shades``, uint8 (256, 128)."""

    def __init__(self, placement: Placement):
        self.place = placement
        self.cos = math.cos(placement.yaw)  # 1 facing the camera, -1 from behind
        self.sin = math.sin(placement.yaw)  # 1 and -1 are the two side views
        self.size = placement.size
        self._pixels = np.zeros((CANVAS_HEIGHT, CANVAS_WIDTH, 2), np.uint8)

    @property
    def labels(self) -> NDArray[np.uint8]:
        return self._pixels[:, :, 0]

    @property
    def shades(self) -> NDArray[np.uint8]:
        return self._pixels[:, :, 1]

    def project(self, points: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Project body points (..., 3) to pixels (..., 2) and depths (...); larger is nearer."""
        points = np.asarray(points, np.float32)
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        across = x * self.cos + z * self.sin
        depth = z * self.cos - x * self.sin
        place = self.place
        pixels = np.empty((*x.shape, 2), np.float32)
        pixels[..., 0] = place.centre_x + (across + place.lean * y) * self.size
        pixels[..., 1] = place.foot_y - (y - depth * place.tilt) * self.size
        return pixels, depth

    def half_width(self, width: float, depth: float) -> float:
        """Half the visible width of an ellipse with these half axes, in pixels."""
        return math.hypot(width * self.cos, depth * self.sin) * self.size

    def hulls(self, limbs: list[Limb]) -> list[Hull]:
        """The outlines of all limbs, projected in one pass for speed."""
        start, start_depth = self.project([limb.start for limb in limbs])
        end, end_depth = self.project([limb.end for limb in limbs])
        radii = np.array([(limb.start_radius, limb.end_radius) for limb in limbs], np.float32)
        radii = radii[..., None, None] * self.size
        light = np.array([0.0036 * self.size, 0], np.float32)  # shifts the core to the light
        outlines = _capsules(start, end, radii)
        cores = _capsules(start - light, end - light, 0.62 * radii)
        depths = (start_depth + end_depth) / 2
        return [
            Hull(outline, core, limb.label, float(depth))
            for outline, core, limb, depth in zip(outlines, cores, limbs, depths, strict=True)
        ]

    def limbs(self, hulls: list[Hull], *, darker: int = 0) -> None:
        for hull in hulls:
            cv2.fillConvexPoly(self._pixels, hull.outline, (hull.label, 136 - darker))
            cv2.fillConvexPoly(self._pixels, hull.core, (hull.label, 172 - darker))

    def silhouette(self, limb: Limb, shade: int) -> None:
        """Draw a limb in a single shade."""
        (hull,) = self.hulls([limb])
        cv2.fillConvexPoly(self._pixels, hull.outline, (limb.label, shade))

    def band(self, levels: list[Level], label: int, shades: tuple[int, int] = (130, 172)) -> None:
        """Draw a body of revolution; a level is (y, half width, half depth, z), top first."""
        levels_ = np.array(levels, np.float32)
        spine = np.zeros((len(levels), 3), np.float32)
        spine[:, 1:] = levels_[:, [0, 3]]
        centres, _ = self.project(spine)
        half = np.hypot(levels_[:, 1] * self.cos, levels_[:, 2] * self.sin) * self.size
        for left, right, shade in ((1.0, 1.0, shades[0]), (0.78, 0.5, shades[1])):
            outline = np.concatenate([centres, centres[::-1]])
            outline[:, 0] += np.concatenate([-left * half, right * half[::-1]])
            cv2.fillPoly(self._pixels, [np.rint(outline).astype(np.int32)], (label, shade))

    def strap(self, start: Point, end: Point, label: int, shade: int, width: float) -> None:
        """Draw a line in body coordinates; ``width`` is a fraction of the body height."""
        (a, b), _ = self.project([start, end])
        self.line(a, b, label, shade, max(2, int(width * self.size)))

    def line(self, start: ArrayLike, end: ArrayLike, label: int, shade: int, width: int) -> None:
        """Draw a line between two pixels."""
        a, b = np.rint(np.array([start, end])).astype(int).tolist()
        cv2.line(self._pixels, a, b, (label, shade), width)

    def ellipse(
        self, centre: ArrayLike, radii: tuple[float, float], label: int, shade: int, start: int = 0
    ) -> None:
        """Draw a filled ellipse in pixels; ``start=180`` draws only the upper half."""
        x, y = np.rint(centre).astype(int).tolist()
        axes = (max(1, round(radii[0])), max(1, round(radii[1])))
        cv2.ellipse(self._pixels, (x, y), axes, 0, start, 360, (label, shade), -1)

    def box(self, corner: ArrayLike, opposite: ArrayLike, label: int, shade: int) -> None:
        """Draw a filled rectangle between two pixels."""
        a, b = np.asarray([corner, opposite]).astype(int).tolist()
        cv2.rectangle(self._pixels, a, b, (label, shade), -1)

    def wrap(
        self,
        atlas: textures.Atlas,
        labels: tuple[int, ...],
        *,
        top: float,
        bottom: float,
        half_axes: tuple[float, float],
    ) -> None:
        """Add the tones of an atlas, wrapped around a cylinder, to the pixels with these labels."""
        ends, _ = self.project([(0, top, 0), (0, bottom, 0)])
        first, last = max(0, int(ends[0, 1]) - 4), min(CANVAS_HEIGHT, int(ends[1, 1]) + 4)
        half = 1.02 * self.half_width(*half_axes)
        reach = 1.9 * half  # the sleeves are outside the cylinder
        left = max(0, int(self.place.centre_x - reach))
        right = min(CANVAS_WIDTH, int(self.place.centre_x + reach))
        offset = (np.arange(left, right, dtype=np.float32) - ends[:, 0].mean()) / half
        outside = np.sign(offset) * (np.abs(offset) + 0.57)
        angle = np.where(np.abs(offset) < 1, np.arcsin(np.clip(offset, -1, 1)), outside)
        turn = (angle - self.place.yaw) / (2 * np.pi)
        columns = (turn * textures.WIDTH).astype(np.int32) % textures.WIDTH
        height = (np.arange(first, last, dtype=np.float32) - ends[0, 1]) / (ends[1, 1] - ends[0, 1])
        rows = np.clip(height * textures.HEIGHT, 0, textures.HEIGHT - 1).astype(np.int32)
        tones = atlas[rows][:, columns]
        region = self.labels[first:last, left:right]
        for label in labels:
            np.add(region, tones, out=region, where=region == label)


_HALF_TURN = np.linspace(-np.pi / 2, np.pi / 2, 6)


def _capsules(start: np.ndarray, end: np.ndarray, radii: np.ndarray) -> NDArray[np.int32]:
    """Outlines (N, 12, 2) of capsules with end points (N, 2) and end radii (N, 2, 1, 1)."""
    along = end - start
    angle = np.arctan2(along[:, 1], along[:, 0])[:, None] + _HALF_TURN
    cap = np.stack([np.cos(angle), np.sin(angle)], -1)
    at_end = end[:, None] + cap * radii[:, 1]
    at_start = start[:, None] - cap * radii[:, 0]
    return np.rint(np.concatenate([at_end, at_start], 1)).astype(np.int32)
