"""What a synthetic data set is made of: its sizes, its difficulty, its seed."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import Any

FORMAT = 1  # raise it when the same settings give other images
FOUR_DIGITS = 9999  # identities and images have that many in their paths
HARDEST = 2.0


@dataclass(frozen=True)
class Settings:
    """All that decides the bytes of a data set.

    Raises:
        ValueError: a setting out of range; the message names it.
    """

    identities: tuple[int, ...] = (120, 30, 30)  # train, val, test
    images: tuple[int, ...] = (5, 8)  # of a camera, visible and infrared; see the layout
    difficulty: float = 0.5  # of the cameras: 0 is clean, 1 is hard
    occlusion: float = 0.06  # fraction of images with something in front of the person
    seed: int = 0

    def __post_init__(self) -> None:
        identities = _counts("identities", self.identities, ("train", "val", "test"), least=0)
        images = _counts("images", self.images, ("visible", "infrared"), least=1)
        difficulty = _fraction("difficulty", self.difficulty, most=HARDEST)
        occlusion = _fraction("occlusion", self.occlusion, most=1.0)
        if not _is_whole(self.seed) or self.seed < 0:
            raise _error("seed", "be a whole number, 0 or more", self.seed)
        if not 0 < sum(identities) <= FOUR_DIGITS:
            raise _error("identities", f"name 1 to {FOUR_DIGITS} people in all", identities)
        if max(images) > FOUR_DIGITS:
            raise _error("images", f"be {FOUR_DIGITS} or fewer per camera", images)
        # Lists and NumPy numbers are welcome, but a manifest is compared as plain Python.
        plain = (identities, images, difficulty, occlusion, int(self.seed))
        for field, value in zip(fields(self), plain, strict=True):
            object.__setattr__(self, field.name, value)

    def manifest(self, name: str) -> dict[str, Any]:
        """What the finished folder of data set ``name`` says of itself, as JSON values."""
        values = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        return {"format": FORMAT, "name": name, **values}


def settings_from(presets: Mapping[str, Settings], preset: str, **changes: Any) -> Settings:
    """The settings of a preset, except for the changes that are not None."""
    if not isinstance(preset, str) or preset not in presets:
        raise _error("preset", f"be one of {', '.join(presets)}", preset)
    chosen = {name: value for name, value in changes.items() if value is not None}
    return Settings(**{**asdict(presets[preset]), **chosen})


def _counts(name: str, value: Any, of: tuple[str, ...], *, least: int) -> tuple[int, ...]:
    """The whole numbers of a tuple or list, one for each name."""
    right_length = isinstance(value, (tuple, list)) and len(value) == len(of)
    if not right_length or not all(_is_whole(v) and v >= least for v in value):
        what = f"be {len(of)} whole numbers ({', '.join(of)}), {least} or more each"
        raise _error(name, what, value)
    return tuple(int(v) for v in value)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _fraction(name: str, value: Any, most: float) -> float:
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not 0 <= value <= most:
        raise _error(name, f"be a number from 0 to {most:g}", value)
    return float(value)


def _error(name: str, what: str, got: object) -> ValueError:
    return ValueError(f"synthesize: {name} must {what}, got {got!r}")
