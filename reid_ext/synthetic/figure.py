"""Draws a walking person on a canvas, from the farthest part to the nearest.

Numbers are body coordinates (see `canvas`), tuned by eye. The heading determines the positions and
the order of arms and legs. A face, an open jacket and a backpack are visible from one side only.
"""

import math
from dataclasses import dataclass

import numpy as np

from reid_ext.synthetic import head, luggage
from reid_ext.synthetic.canvas import Canvas, Hull, Level, Limb, Point
from reid_ext.synthetic.parts import Part
from reid_ext.synthetic.person import Person

SHOULDER_HEIGHT = 0.815
SIDEWAYS = 0.35  # |sin(yaw)| above which one arm is in front of the body and one behind


@dataclass(frozen=True)
class Pose:
    """One moment of a walk; lengths are fractions of the body height."""

    lean: float
    phase: float
    stride: float
    arm_swing: float
    elbow_bend: float
    head_shift: float


def draw_pose(rng: np.random.Generator) -> Pose:
    lean = rng.uniform(-0.02, 0.02)
    phase = rng.uniform(0, 2 * np.pi)
    stride = rng.uniform(0.02, 0.13)
    return Pose(
        *(lean, phase, stride),
        arm_swing=1.1 * stride * rng.uniform(0.2, 1.0),
        elbow_bend=rng.uniform(0, 0.10),
        head_shift=rng.uniform(-0.006, 0.006),
    )


def draw_figure(canvas: Canvas, person: Person, pose: Pose) -> None:
    """Draw the person in this pose, with its textures."""
    (far_leg, near_leg), (far_arm, near_arm) = _limbs(canvas, person, pose)
    sideways = abs(canvas.sin) > SIDEWAYS
    bag = person.outfit.bag
    if bag == "backpack" and canvas.cos > 0:
        luggage.backpack(canvas)
    head.draw_hair_behind(canvas, person)
    if sideways:
        canvas.limbs(far_arm, darker=26 if abs(canvas.sin) > 0.4 else 0)
    canvas.limbs(far_leg, darker=30)
    canvas.limbs(near_leg)
    _lower_body(canvas, person)
    hem = _torso(canvas, person)
    head.draw_head(canvas, person, pose.head_shift)
    if not sideways:
        canvas.limbs(far_arm)
        canvas.limbs(near_arm)
    if bag == "backpack" and canvas.cos > 0.25:
        luggage.backpack_straps(canvas)
    if bag == "shoulder bag":
        luggage.shoulder_strap(canvas)
    if sideways:
        canvas.limbs(near_arm)
    if bag == "backpack" and canvas.cos <= 0:
        luggage.backpack(canvas)
    if bag == "shoulder bag":
        luggage.shoulder_bag(canvas, person.shape.build)
    if bag == "handbag":
        luggage.handbag(canvas, _arm_joints(person, pose, side=1)[2])
    _wrap_textures(canvas, person, hem)


def _limbs(
    canvas: Canvas, person: Person, pose: Pose
) -> tuple[tuple[list[Hull], list[Hull]], tuple[list[Hull], list[Hull]]]:
    """The hulls of the legs and of the arms, each pair as (far, near)."""
    groups = [_leg(person, pose, side, canvas.sin) for side in (-1, 1)]
    groups += [_arm(person, pose, side) for side in (-1, 1)]
    hulls = iter(canvas.hulls([limb for group in groups for limb in group]))
    left_leg, right_leg, left_arm, right_arm = ([next(hulls) for _ in group] for group in groups)
    return _far_near(left_leg, right_leg), _far_near(left_arm, right_arm)


def _far_near(one: list[Hull], other: list[Hull]) -> tuple[list[Hull], list[Hull]]:
    def nearness(hulls: list[Hull]) -> float:
        return sum(hull.depth for hull in hulls) / len(hulls)

    return (one, other) if nearness(one) < nearness(other) else (other, one)


def _leg(person: Person, pose: Pose, side: int, sin_yaw: float) -> list[Limb]:
    build, hip_half = person.shape.build, 0.045 * person.shape.build
    lift = max(0.0, math.cos(pose.phase) * side) * pose.stride * 0.35
    forward = -side * math.sin(pose.phase) * pose.stride
    hip = (side * hip_half, person.shape.hip, 0.0)
    knee = (side * hip_half, 0.27 + 0.6 * lift, 0.55 * forward + 0.02 + 0.5 * lift)
    ankle = (0.9 * side * hip_half, 0.045 + lift, forward - (0.02 if lift > 0 else 0))
    toe = (1.15 * ankle[0], ankle[1] - 0.03, ankle[2] + 0.075)
    heel = (ankle[0], ankle[1] - 0.028, ankle[2] - 0.015)
    sole = (heel[0], heel[1] - 0.012, heel[2]), (toe[0], toe[1] - 0.008, toe[2])
    limbs = [
        Limb(knee, ankle, 0.034 * build, 0.020, Part.SKIN),
        Limb(hip, knee, 0.05 * build, 0.036 * build, Part.SKIN),
        Limb(_between(knee, ankle, 0.72), ankle, 0.023, 0.021, Part.SOCK),
        Limb(heel, toe, 0.022, 0.017, Part.SHOE),
        Limb(*sole, 0.008, 0.007, Part.SOLE),
    ]
    if person.outfit.has_skirt:
        return limbs
    limbs += _trouser_leg(person, hip, knee, ankle)
    if person.outfit.lower_pattern == "side stripe" and side * -sin_yaw > -0.25:
        limbs += _side_stripe(person, side, hip, knee, ankle)
    return limbs


def _trouser_leg(person: Person, hip: Point, knee: Point, ankle: Point) -> list[Limb]:
    build, outfit = person.shape.build, person.outfit
    if outfit.lower == "shorts":
        reach = min(1.0, 1.9 * outfit.lower_length) if outfit.lower_length < 0.5 else 1.0
        end = _between(hip, knee, reach)
        return [Limb(hip, end, 0.060 * build, 0.054 * build, Part.LOWER)]
    width = outfit.leg_width
    at_knee = width * (0.6 + 0.4 * build)
    cuff = _between(knee, ankle, 0.93)
    return [
        Limb(knee, cuff, 0.040 * at_knee, 0.031 * width, Part.LOWER),
        Limb(hip, knee, 0.058 * build, 0.041 * at_knee, Part.LOWER),
    ]


def _side_stripe(person: Person, side: int, hip: Point, knee: Point, ankle: Point) -> list[Limb]:
    out = side * 0.040 * person.shape.build
    stripe_knee = (knee[0] + 0.8 * out, knee[1], knee[2])
    stripe_ankle = (ankle[0] + 0.55 * out, ankle[1] + 0.02, ankle[2])
    label = Part.LOWER + 5
    limbs = [Limb((hip[0] + out, hip[1], hip[2]), stripe_knee, 0.010, 0.010, label)]
    if person.outfit.lower != "shorts":
        limbs.append(Limb(stripe_knee, stripe_ankle, 0.010, 0.010, label))
    return limbs


def _arm_joints(person: Person, pose: Pose, side: int) -> tuple[Point, Point, Point]:
    """Shoulder, elbow and hand; the arm of side +1 carries the handbag."""
    half = _shoulder_half(person)
    swing = side * math.sin(pose.phase) * pose.arm_swing
    bend = pose.elbow_bend + 0.3 * abs(swing)
    shoulder = (0.93 * side * half, SHOULDER_HEIGHT - 0.03, 0.0)
    elbow = (side * (half + 0.022), 0.635, 0.6 * swing - 0.01)
    hand = (side * (half + 0.026), 0.49 + 0.5 * bend, 1.3 * swing + 0.03 + 0.6 * bend)
    if person.outfit.bag == "handbag" and side == 1:
        hand = (half + 0.035, 0.47, 0.01)
    return shoulder, elbow, hand


def _arm(person: Person, pose: Pose, side: int) -> list[Limb]:
    build = person.shape.build
    shoulder, elbow, hand = _arm_joints(person, pose, side)
    limbs = [
        Limb(shoulder, elbow, 0.027 * build, 0.022 * build, Part.SKIN),
        Limb(elbow, hand, 0.022 * build, 0.016, Part.SKIN),
        Limb(hand, _between(elbow, hand, 1.15), 0.02, 0.017, Part.SKIN),
    ]
    thick = 1.10 if person.outfit.upper in ("jacket", "coat") else 1.0
    width = 0.0285 * (0.55 + 0.45 * build) * thick
    sleeve = 2 * person.outfit.sleeve  # 1 ends at the elbow
    if sleeve > 1:
        cuff = _between(elbow, hand, sleeve - 1.05)
        limbs.append(Limb(elbow, cuff, 0.92 * width, 0.78 * width, Part.SLEEVE))
    end = _between(shoulder, elbow, min(1.0, sleeve))
    return [*limbs, Limb(shoulder, end, 1.12 * width, 0.98 * width, Part.SLEEVE)]


def _between(a: Point, b: Point, t: float) -> Point:
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)


def _shoulder_half(person: Person) -> float:
    return person.shape.shoulder * (0.75 + 0.25 * person.shape.build)


def _hip_half(person: Person) -> float:
    return (0.092 if person.outfit.has_skirt else 0.086) * person.shape.build


def _lower_body(canvas: Canvas, person: Person) -> None:
    """The skirt, or the seat of the trousers."""
    build, hip, half = person.shape.build, person.shape.hip, _hip_half(person)
    if person.outfit.has_skirt:
        end = hip - (hip - 0.05) * person.outfit.lower_length
        flare = person.outfit.flare
        levels: list[Level] = [
            (hip + 0.09, 0.072 * build, 0.055 * build, 0),
            (hip, half, 0.075 * build, 0),
            (end, half * flare, 0.085 * build * flare, 0),
        ]
    else:
        levels = [
            (hip + 0.09, 0.075 * build, 0.06 * build, 0),
            (hip - 0.02, half, 0.068 * build, 0),
            (hip - 0.055, 0.92 * half, 0.06 * build, 0),
        ]
    canvas.band(levels, Part.LOWER)


def _torso(canvas: Canvas, person: Person) -> float:
    """Draw the upper garment and the neck, and return the height of the hem."""
    outfit, hip, hip_half = person.outfit, person.shape.hip, _hip_half(person)
    half, deep = 0.98 * _shoulder_half(person), 0.068 * person.shape.build
    hem = hip - 0.62 * outfit.hem * (hip - 0.06)
    last: Level = (hem, 1.05 * hip_half, 1.08 * deep, 0)
    if outfit.upper == "coat":
        last = (hem, 1.18 * hip_half, 1.3 * deep, 0)
    elif outfit.upper != "jacket" and outfit.hem < 0.06:  # tucked in
        last = (hip + 0.04, 0.96 * hip_half, deep, 0)
    levels: list[Level] = [
        (0.85, 0.036, 0.042, 0),
        (SHOULDER_HEIGHT + 0.012, 0.74 * half, 0.8 * deep, 0),
        (SHOULDER_HEIGHT - 0.022, 1.04 * half, deep, 0),
        (0.69, 0.93 * half, 1.05 * deep, 0),
        (hip + 0.10, max(0.077 * person.shape.build, 0.72 * half), 0.95 * deep, 0),
        last,
    ]
    canvas.band(levels, Part.UPPER)
    return last[0]


def _wrap_textures(canvas: Canvas, person: Person, hem: float) -> None:
    build, hip = person.shape.build, person.shape.hip
    if person.upper_texture.any():
        canvas.wrap(
            person.upper_texture,
            (Part.UPPER, Part.SLEEVE) if person.patterned_sleeves else (Part.UPPER,),
            top=0.845,
            bottom=min(hem, hip + 0.03),
            half_axes=(0.98 * _shoulder_half(person), 0.068 * build),
        )
    if person.lower_texture.any():
        canvas.wrap(
            person.lower_texture,
            (Part.LOWER,),
            top=hip + 0.09,
            bottom=0.05,
            half_axes=(_hip_half(person), 0.07 * build),
        )
