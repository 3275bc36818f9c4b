"""The heading of a person, and the resulting view."""

import math

import numpy as np

FRONT, SIDE, BACK = 0, 1, 2


def view_of(yaw: float) -> int:
    """0 (front) within 60 degrees of facing the camera, 2 (back) of facing away, else 1 (side)."""
    towards_camera = math.cos(yaw)
    return FRONT if towards_camera > 0.5 else BACK if towards_camera < -0.5 else SIDE


def frame_yaw(rng: np.random.Generator, heading: float) -> float:
    """A heading near that of the walk in 80 % of the frames, and a random one in the others."""
    if rng.random() < 0.8:
        return heading + rng.normal(0, 0.4)
    return rng.uniform(-math.pi, math.pi)


def yaw_of(rng: np.random.Generator, view: int) -> float:
    """A heading that shows the view, away from the limits to the other views."""
    if view == SIDE:
        return rng.choice((-1, 1)) * rng.uniform(1.2, 1.95)
    return rng.normal(0 if view == FRONT else math.pi, 0.3)
