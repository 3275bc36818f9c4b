"""A synthetic person: body, hair, clothes and bag, all sampled from one seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reid_ext.synthetic import palette, textures
from reid_ext.synthetic.parts import choose

HAIR = ("bald", "short", "short", "bob", "long", "ponytail", "bun")
HAT = ("none", "none", "cap", "beanie")
UPPER = ("tee", "tee", "long", "long", "jacket", "jacket", "coat", "vest")
LOWER = ("trousers", "trousers", "slim", "shorts", "skirt", "long skirt")
BAG = ("none", "none", "backpack", "backpack", "shoulder bag", "handbag")
LOWER_PATTERN = (
    *("plain", "plain", "plain"),
    *("horizontal stripes", "check", "side stripe", "camouflage"),
)


@dataclass(frozen=True)
class Shape:
    """Proportions of a body; lengths are fractions of its height."""

    height: float  # fraction of the tallest person's
    build: float  # 1 is average, more is broader
    hip: float  # height of the hip joint
    shoulder: float  # half the width of the shoulders
    head: float  # 1 is small


@dataclass(frozen=True)
class Outfit:
    """Hair, clothes and bag. A pattern is a key of `textures.PATTERNS`, or a side stripe."""

    hair: str
    hat: str
    upper: str
    lower: str
    bag: str
    scarf: bool
    upper_pattern: str
    lower_pattern: str
    logo: textures.Logo | None
    back_print: bool
    sleeve: float  # covered fraction of the arm
    hem: float  # length of the upper garment below the hip, as a fraction of the thigh
    lower_length: float  # fraction of the leg
    flare: float  # width of a skirt's hem over that of the hips
    leg_width: float
    upper_period: int
    lower_period: int

    @property
    def has_skirt(self) -> bool:
        return self.lower in ("skirt", "long skirt")


@dataclass(frozen=True)
class Person:
    """One identity, with the textures of `textures` and the palettes of `palette`."""

    shape: Shape
    outfit: Outfit
    upper_texture: textures.Atlas
    lower_texture: textures.Atlas
    patterned_sleeves: bool
    visible: palette.Palette
    infrared: palette.Palette


def draw_person(seed: Sequence[int], cloths: Sequence[palette.Colour] = palette.CLOTH) -> Person:
    """Draw a random person; the same arguments give the same person on every machine."""
    rng = np.random.default_rng(seed)
    shape = _draw_shape(rng)
    outfit = _draw_outfit(rng)
    upper_texture = textures.upper_garment(
        rng,
        outfit.upper_pattern,
        outfit.upper_period,
        open_front=outfit.upper in ("jacket", "coat"),
        logo=outfit.logo,
        back_print=outfit.back_print,
    )
    # A side stripe follows the leg, so it is part of the leg and not a texture.
    lower_pattern = "plain" if outfit.lower_pattern == "side stripe" else outfit.lower_pattern
    lower_texture = textures.pattern(rng, lower_pattern, outfit.lower_period)
    contrasting = bool(rng.random() >= 0.75)
    all_over = outfit.upper_pattern in ("horizontal stripes", "check", "camouflage", "dots")
    return Person(
        shape,
        outfit,
        upper_texture,
        lower_texture,
        patterned_sleeves=all_over and bool(rng.random() < 0.7),
        visible=palette.visible_palette(rng, contrasting_sleeves=contrasting, cloths=cloths),
        infrared=palette.infrared_palette(rng, contrasting_sleeves=contrasting),
    )


def _draw_shape(rng: np.random.Generator) -> Shape:
    return Shape(
        height=rng.uniform(0.90, 1.0),
        build=rng.uniform(0.84, 1.22),
        hip=rng.uniform(0.465, 0.515),
        shoulder=rng.uniform(0.088, 0.106),
        head=rng.uniform(1.0, 1.16),
    )


def _draw_outfit(rng: np.random.Generator) -> Outfit:
    hair, hat = choose(rng, HAIR), choose(rng, HAT)
    upper, lower = choose(rng, UPPER), choose(rng, LOWER)
    bag, scarf = choose(rng, BAG), bool(rng.random() < 0.2)
    upper_pattern = choose(rng, tuple(textures.PATTERNS))
    lower_pattern = choose(rng, LOWER_PATTERN)
    has_logo = rng.random() < 0.45 and upper in ("tee", "long")
    back_print = bool(rng.random() < 0.2)
    logo = _draw_logo(rng) if has_logo else None
    # Lengths are sampled for every kind of garment, so the random numbers do not depend on it.
    sleeve = {"tee": rng.uniform(0.3, 0.5), "vest": rng.uniform(0.08, 0.12)}
    long_sleeve = 1.0 if rng.random() < 0.8 else 0.62
    coat_hem, short_hem = rng.uniform(0.60, 0.75), rng.uniform(0.02, 0.10)
    length = {
        "shorts": rng.uniform(0.42, 0.6),
        "skirt": rng.uniform(0.38, 0.58),
        "long skirt": rng.uniform(0.72, 0.92),
    }
    flare = rng.uniform(1.05, 1.45)
    slim_leg, wide_leg = rng.uniform(0.78, 0.9), rng.uniform(1.0, 1.3)
    return Outfit(
        *(hair, hat, upper, lower, bag, scarf),
        *(upper_pattern, lower_pattern, logo, back_print),
        sleeve=sleeve.get(upper, long_sleeve),
        hem=coat_hem if upper == "coat" else short_hem,
        lower_length=length.get(lower, 1.0),
        flare=flare,
        leg_width=slim_leg if lower == "slim" else wide_leg,
        # Shorter periods would not be visible at the input size of small networks.
        upper_period=choose(rng, (13, 20, 30)),
        lower_period=choose(rng, (14, 24)),
    )


def _draw_logo(rng: np.random.Generator) -> textures.Logo:
    shape = choose(rng, textures.LOGO_SHAPES)
    return textures.Logo(shape, height=rng.uniform(0.2, 0.45), size=int(rng.uniform(7, 15)))
