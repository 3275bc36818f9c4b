"""What a synthetic data set is made of: its sizes, its difficulty, its seed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from reid_ext._runtime.arguments import ArgumentError, choice, described, integer, number

FORMAT = 1  # raise it when the same settings give other images
FOUR_DIGITS = 9999  # identities and images have that many in their paths
HARDEST = 2.0


@dataclass(frozen=True)
class Settings:
    """All that decides the bytes of a data set.

    Raises:
        ArgumentError: a setting is out of range.
    """

    identities: tuple[int, ...] = (120, 30, 30)  # train, val, test
    images: tuple[int, ...] = (5, 8)  # of a camera, visible and infrared; see the layout
    difficulty: float = 0.5  # of the cameras: 0 is clean, 1 is hard
    occlusion: float = 0.06  # fraction of images with something in front of the person
    seed: int = 0

    def __post_init__(self) -> None:
        identities = _counts("identities", self.identities, ("train", "val", "test"), least=0)
        images = _counts("images", self.images, ("visible", "infrared"), least=1)
        difficulty = number("synthesize", "difficulty", self.difficulty, 0, HARDEST)
        occlusion = number("synthesize", "occlusion", self.occlusion, 0, 1)
        seed = integer("synthesize", "seed", self.seed, 0)
        if not 0 < sum(identities) <= FOUR_DIGITS:
            requirement = f"name 1 to {FOUR_DIGITS} people in all"
            raise ArgumentError("synthesize", "identities", requirement, described(identities))
        # Lists and NumPy numbers are welcome, but a manifest is compared as plain Python.
        plain = (identities, images, difficulty, occlusion, seed)
        for field, value in zip(fields(self), plain, strict=True):
            object.__setattr__(self, field.name, value)

    def manifest(self, name: str) -> dict[str, Any]:
        """What the finished folder of data set ``name`` says of itself, as JSON values."""
        values = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        return {"format": FORMAT, "name": name, **values}


def settings_from(presets: Mapping[str, Settings], preset: str, **changes: Any) -> Settings:
    """The settings of a preset, except for the changes that are not None."""
    choice("synthesize", "preset", preset, presets)
    chosen = {name: value for name, value in changes.items() if value is not None}
    return Settings(**{**asdict(presets[preset]), **chosen})


def _counts(name: str, value: Any, of: tuple[str, ...], *, least: int) -> tuple[int, ...]:
    """The whole numbers of a tuple or list, one for each name."""
    if not isinstance(value, tuple | list) or len(value) != len(of):
        requirement = f"be {len(of)} integers ({', '.join(of)})"
        raise ArgumentError("synthesize", name, requirement, described(value))
    places = (f"{name}[{i}]" for i in range(len(of)))
    return tuple(
        integer("synthesize", place, number, least, FOUR_DIGITS)
        for place, number in zip(places, value, strict=True)
    )
