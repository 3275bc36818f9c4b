"""Synthetic cameras: scenes, sensor properties, and the rendering of a person.

Each camera has its own colour cast, brightness, response curve, blur, noise, tilt and JPEG
quality, so a person looks different in each camera. ``difficulty`` scales the cast, the blur, the
noise and the framing errors: 0 is clean, 1 is hard.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reid_ext.synthetic.canvas import CANVAS_HEIGHT, CANVAS_WIDTH, Canvas, Placement
from reid_ext.synthetic.figure import draw_figure, draw_pose
from reid_ext.synthetic.person import Person
from reid_ext.synthetic.scenery import draw_scene

WIDTH, HEIGHT = 64, 128
TALLEST = 240  # canvas pixels
NOISE_MARGIN = 96

Rng = np.random.Generator
Picture = np.ndarray  # float32 (H, W) or (H, W, 3), 0 to 255


@dataclass(frozen=True)
class Camera:
    """Fixed properties of a camera; ``curve`` is the sensor response to each grey value."""

    infrared: bool
    scenes: tuple[NDArray[np.uint8], ...]
    difficulty: float
    gain: np.ndarray  # BGR, mean 1
    curve: NDArray[np.uint8]
    noise: float  # standard deviation in grey values
    blur: float  # pixels
    jpeg_quality: int
    tilt: float
    vignette: float

    def photograph(
        self, person: Person, rng: Rng, *, yaw: float, occlusion: float
    ) -> NDArray[np.uint8]:
        """Render one BGR image (128, 64, 3) of a person with heading ``yaw`` (0: to the camera)."""
        placement = self._placement(person, rng, yaw)
        pose = draw_pose(rng)
        canvas = Canvas(placement._replace(lean=pose.lean))
        draw_figure(canvas, person, pose)
        texture = _noise_window(rng)
        light, mask = self._develop(canvas, person, rng, texture)
        picture = self._background(rng, placement) * (1 - mask) + light
        if rng.random() < occlusion:
            _occlude(picture, rng, gray=self.infrared)
        return self._expose(picture, rng, texture)

    def _placement(self, person: Person, rng: Rng, yaw: float) -> Placement:
        size = TALLEST * rng.uniform(0.90, 1.02) * person.shape.height
        off_centre = rng.uniform(-1, 1) * 0.06 * self.difficulty
        too_low = rng.uniform(-0.03, 0.035) * self.difficulty
        centre = CANVAS_WIDTH * (0.5 + off_centre)
        foot = CANVAS_HEIGHT * (0.975 + too_low)
        return Placement(yaw, centre, foot, size, lean=0.0, tilt=self.tilt)

    def _develop(
        self, canvas: Canvas, person: Person, rng: Rng, texture: tuple[Picture, Picture]
    ) -> tuple[Picture, Picture]:
        """The shaded person on a black background (H, W, 3), and the coverage (H, W, 1)."""
        labels = np.ascontiguousarray(canvas.labels)
        palette = person.infrared if self.infrared else person.visible
        colour = _shrink(cv2.LUT(cv2.cvtColor(labels, cv2.COLOR_GRAY2BGR), palette))
        covered = _shrink(cv2.threshold(labels, 0, 255, cv2.THRESH_BINARY)[1]) / 255
        shade = cv2.GaussianBlur(_shrink(canvas.shades) / 165, (3, 3), 0)
        slope = rng.uniform(-0.25, 0.25)
        across = np.linspace(1 - slope, 1 + slope, WIDTH, dtype=np.float32)
        down = np.linspace(1.06, 0.94, HEIGHT, dtype=np.float32)[:, None]
        folds = 1 + 0.055 * texture[1]
        return colour * (shade * across * down * folds)[..., None], covered[..., None]

    def _background(self, rng: Rng, placement: Placement) -> Picture:
        scene = self.scenes[int(rng.integers(len(self.scenes)))]
        x = int(rng.integers(scene.shape[1] - WIDTH))
        y = min(int(rng.integers(scene.shape[0] - HEIGHT)), 40)
        picture = scene[y : y + HEIGHT, x : x + WIDTH].astype(np.float32)
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
        if self.infrared:  # the lamp is next to the lens, so shadows are not visible
            return picture
        shadow = np.zeros((HEIGHT, WIDTH), np.uint8)
        feet = (int(placement.centre_x / 2), int(placement.foot_y / 2) - 1)
        cv2.ellipse(shadow, feet, (14, 4), 0, 0, 360, 255, -1)
        soft = cv2.GaussianBlur(shadow, (9, 9), 0).astype(np.float32)
        return picture * (1 - 0.45 / 255 * soft)[..., None]

    def _expose(
        self, picture: Picture, rng: Rng, texture: tuple[Picture, Picture]
    ) -> NDArray[np.uint8]:
        if self.blur > 0.2:  # less blur is not visible
            picture = cv2.GaussianBlur(picture, (0, 0), self.blur * rng.uniform(0.7, 1.4))
        noise = texture[0]
        if self.infrared:
            picture = picture * self._lamp(rng)[..., None]
            noise = noise[..., :1]
        else:
            cast = self.gain * np.exp(rng.normal(0, 0.03 * self.difficulty, 3))
            exposure = np.exp(rng.normal(0, 0.14 * self.difficulty))
            picture = picture * (cast * exposure).astype(np.float32)
        picture = picture + self.noise * noise
        exposed: NDArray[np.uint8] = np.clip(picture, 0, 255).astype(np.uint8)
        return self.curve[exposed]

    def _lamp(self, rng: Rng) -> Picture:
        """Brightness of the spot of the infrared lamp, which moves slightly between frames."""
        y, x = np.ogrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
        middle = rng.uniform(-0.3, 0.3)
        squared_radius = 0.5 * (x - middle) ** 2 + 0.6 * y**2
        spot = rng.uniform(0.75, 1.2) * (1.15 - self.vignette * squared_radius)
        return spot.astype(np.float32)


def draw_camera(
    seed: int, number: int, *, infrared: bool, outdoor: bool, location: int, difficulty: float
) -> Camera:
    """The camera of a seed and number; cameras of the same location see the same scenes."""
    rng = np.random.default_rng([7, seed, number])
    scenes = tuple(
        draw_scene(
            np.random.default_rng([11, seed, location, i]), outdoor=outdoor, infrared=infrared
        )
        for i in range(3)
    )
    gain = np.exp(rng.normal(0, 0.075 * difficulty, 3)).astype(np.float32)
    bright, gamma = rng.uniform(0.72, 1.12), rng.uniform(0.8, 1.3)
    contrast, offset = rng.uniform(0.75, 1.0), rng.uniform(0, 22)
    curve = (np.arange(256) / 255) ** gamma * contrast * 255 * bright + offset
    return Camera(
        *(infrared, scenes, difficulty),
        gain=gain / gain.mean(),
        curve=np.clip(curve, 0, 255).astype(np.uint8),
        noise=rng.uniform(*((6, 10) if infrared else (3, 6))) * difficulty,
        blur=rng.uniform(0.4, 0.9) * difficulty,
        jpeg_quality=int(rng.uniform(65, 90)),
        tilt=rng.uniform(0.05, 0.22),
        vignette=rng.uniform(*((0.2, 0.5) if infrared else (0.0, 0.15))),
    )


def _shrink(picture: np.ndarray) -> Picture:
    """Shrink the canvas to the image size; each pixel is the mean of four."""
    small = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


def _occlude(picture: Picture, rng: Rng, *, gray: bool) -> None:
    """Draw a post, a box in front of the legs, or an object at one side, in place."""
    kind, light = int(rng.integers(3)), rng.uniform(30, 170)
    colour = [light] * 3 if gray else [light + rng.uniform(-25, 25) for _ in range(3)]
    if kind == 0:
        left, top = int(rng.uniform(0, WIDTH)), 0
        right, bottom = left + int(rng.uniform(4, 9)), HEIGHT
    elif kind == 1:
        left, top = int(rng.uniform(-20, WIDTH - 15)), int(HEIGHT * rng.uniform(0.62, 0.85))
        right, bottom = int(rng.uniform(0.4 * WIDTH, WIDTH + 20)), HEIGHT
    else:
        at_left = rng.random() < 0.5
        left = int(rng.uniform(-12, 8) if at_left else rng.uniform(WIDTH - 20, WIDTH))
        top = int(HEIGHT * rng.uniform(0.1, 0.6))
        right, bottom = left + int(rng.uniform(10, 22)), HEIGHT
    cv2.rectangle(picture, (left, top), (right, bottom), colour, -1)


@functools.cache
def _noise_fields() -> tuple[Picture, Picture]:
    """Fields of sensor noise (h, w, 3) and cloth folds (h, w) with unit variance.

    They are larger than an image. A random window is many times faster than new noise for each
    image.
    """
    rng = np.random.default_rng(99)
    shape = (HEIGHT + NOISE_MARGIN, WIDTH + NOISE_MARGIN)
    noise = rng.normal(0, 1, (*shape, 3)).astype(np.float32)
    folds = cv2.GaussianBlur(rng.normal(0, 1, shape).astype(np.float32), (0, 0), 2.2)
    return noise, folds / folds.std()


def _noise_window(rng: Rng) -> tuple[Picture, Picture]:
    x, y = int(rng.integers(NOISE_MARGIN)), int(rng.integers(NOISE_MARGIN))
    noise, folds = _noise_fields()
    window = np.s_[y : y + HEIGHT, x : x + WIDTH]
    return noise[window], folds[window]
