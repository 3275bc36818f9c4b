"""Palettes of a person: colours for visible cameras, reflectances for infrared cameras.

The two are sampled independently because the dye does not determine the near-infrared reflectance:
cloth of any colour can be bright or dark. The modalities only share shapes: the cut, the pattern,
the bag and the hair.

A palette is uint8 (256, 1, 3), the BGR colour of each label in the form of `cv2.LUT`. There are few
cloth colours, so many persons share one. The infrared range is narrow, so brightness alone does not
identify a person.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reid_ext.synthetic.parts import NUM_LABELS, TONES, Part, choose

Palette = NDArray[np.uint8]
Rng = np.random.Generator

Colour = tuple[int, int, int]  # BGR

CLOTH: list[Colour] = [
    *[(38, 36, 36), (58, 56, 60), (105, 104, 104), (165, 165, 168), (225, 224, 226)],
    *[(92, 52, 38), (130, 84, 52), (62, 58, 125), (52, 50, 92), (74, 96, 68)],
    *[(68, 86, 102), (125, 148, 172), (150, 138, 185), (85, 140, 165), (150, 136, 104)],
]
# For layouts in which more colours would identify a person.
FEW_CLOTHS = [CLOTH[i] for i in (0, 1, 2, 3, 5, 6, 10, 11)]
SKIN: list[Colour] = [
    *[(150, 175, 215), (135, 160, 205), (105, 135, 185), (80, 105, 150), (55, 75, 110)]
]
HAIR: list[Colour] = [
    *[(25, 25, 28), (30, 38, 50), (45, 65, 95), (80, 110, 140), (120, 120, 122), (110, 150, 185)]
]
SOLE: list[Colour] = [(40, 40, 40), (215, 215, 215)]

CLOTH_REFLECTANCE = (0.40, 0.80)
PATTERN_CONTRAST = 0.25  # smallest difference in reflectance between a cloth and its pattern


def visible_palette(
    rng: Rng, *, contrasting_sleeves: bool, cloths: Sequence[Colour] = CLOTH
) -> Palette:
    """The colours of all parts of one person; the clothes have the colours of ``cloths``."""
    colour = np.zeros((NUM_LABELS, 3), np.float32)
    upper, lower = Part.UPPER, Part.LOWER
    colour[Part.SKIN] = choose(rng, SKIN) + rng.normal(0, 4, 3)
    colour[Part.HAIR] = choose(rng, HAIR) + rng.normal(0, 4, 3)
    colour[Part.HAT] = _cloth(rng, cloths)
    colour[Part.HAT_TRIM] = 0.7 * colour[Part.HAT]
    colour[Part.SHOE] = _cloth(rng, cloths)
    colour[Part.SOLE] = choose(rng, SOLE)
    colour[Part.BAG] = _cloth(rng, cloths)
    colour[Part.BAG_POCKET] = _other_cloth(rng, cloths, colour[Part.BAG], 25)
    colour[Part.STRAP] = 0.85 * colour[Part.BAG]
    colour[Part.EYE] = (30, 30, 35)
    colour[Part.SOCK] = _cloth(rng, cloths)
    colour[Part.SCARF] = _cloth(rng, cloths)
    colour[upper] = _cloth(rng, cloths)
    colour[upper + 1] = _other_cloth(rng, cloths, colour[upper])
    colour[upper + 2] = 0.5 * colour[upper + 1] + 0.5 * _other_cloth(rng, cloths, colour[upper])
    colour[upper + 3] = _other_cloth(rng, cloths, colour[upper])
    colour[upper + 4] = _other_cloth(rng, cloths, colour[upper + 3])
    colour[upper + 5] = _other_cloth(rng, cloths, colour[upper])
    colour[lower] = _cloth(rng, cloths)
    colour[lower + 1] = _other_cloth(rng, cloths, colour[lower], 35)
    colour[lower + 2] = 0.6 * colour[lower + 1] + 0.4 * _cloth(rng, cloths)
    colour[lower + 5] = _other_cloth(rng, cloths, colour[lower])
    return _lookup_table(colour, contrasting_sleeves)


def infrared_palette(rng: Rng, *, contrasting_sleeves: bool) -> Palette:
    """The near-infrared reflectances of all parts of one person, as grey values."""
    light = np.zeros(NUM_LABELS, np.float32)
    upper, lower = Part.UPPER, Part.LOWER
    light[Part.SKIN] = rng.uniform(0.60, 0.72)
    light[Part.HAIR] = rng.uniform(0.14, 0.42)
    light[Part.HAT] = rng.uniform(*CLOTH_REFLECTANCE)
    light[Part.HAT_TRIM] = 0.75 * light[Part.HAT]
    light[Part.SHOE] = rng.uniform(0.1, 0.7)
    light[Part.SOLE] = choose(rng, (0.25, 0.75))
    light[Part.BAG] = rng.uniform(0.12, 0.7)
    light[Part.BAG_POCKET] = _other_light(rng, light[Part.BAG], 0.12)
    light[Part.STRAP] = 0.9 * light[Part.BAG]
    light[Part.EYE] = 0.12
    light[Part.SOCK] = rng.uniform(*CLOTH_REFLECTANCE)
    light[Part.SCARF] = rng.uniform(*CLOTH_REFLECTANCE)
    light[upper] = rng.uniform(*CLOTH_REFLECTANCE)
    light[upper + 1] = _other_light(rng, light[upper])
    light[upper + 2] = 0.5 * light[upper] + 0.5 * _other_light(rng, light[upper + 1])
    light[upper + 3] = _other_light(rng, light[upper])
    light[upper + 4] = _other_light(rng, light[upper + 3], 0.8 * PATTERN_CONTRAST)
    light[upper + 5] = _other_light(rng, light[upper])
    light[lower] = rng.uniform(*CLOTH_REFLECTANCE)
    light[lower + 1] = _other_light(rng, light[lower])
    light[lower + 2] = 0.5 * light[lower] + 0.5 * light[lower + 1]
    light[lower + 5] = _other_light(rng, light[lower])
    return _lookup_table(np.repeat(255 * light[:, None], 3, axis=1), contrasting_sleeves)


def _cloth(rng: Rng, cloths: Sequence[Colour]) -> np.ndarray:
    return np.clip(choose(rng, cloths) + rng.normal(0, 7, 3), 8, 240)


def _other_cloth(
    rng: Rng, cloths: Sequence[Colour], colour: np.ndarray, distance: float = 45
) -> np.ndarray:
    """A cloth colour that differs from the given one, or the last of 20 samples."""
    for _ in range(20):
        other = _cloth(rng, cloths)
        if np.abs(other - colour).mean() > distance:
            break
    return other


def _other_light(rng: Rng, light: float, contrast: float = PATTERN_CONTRAST) -> float:
    """A reflectance that differs by at least ``contrast``: mostly darker, or brighter if dark."""
    brighter = light < 0.40 or (light < 0.5 and rng.random() < 0.3)
    step = rng.uniform(contrast, contrast + 0.15)
    return float(np.clip(light + step if brighter else light - step, 0.05, 1.0))


def _lookup_table(colour: np.ndarray, contrasting_sleeves: bool) -> Palette:
    sleeve, upper = Part.SLEEVE, Part.UPPER
    colour[sleeve : sleeve + TONES] = colour[upper : upper + TONES]
    if contrasting_sleeves:
        colour[sleeve] = colour[upper + 1]
    table = np.zeros((256, 1, 3), np.uint8)
    table[:NUM_LABELS, 0] = np.clip(colour, 0, 255)
    return table
