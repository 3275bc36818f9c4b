"""The settings of a synthetic dataset: its sizes, its difficulty and its seed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from reid_ext._runtime.arguments import ArgumentError, choice, described, integer, number

FORMAT = 1  # increase this when the same settings give other images
FOUR_DIGITS = 9999  # identities and images have four digits in their paths
HARDEST = 2.0


@dataclass(frozen=True)
class Settings:
    """The settings that determine a synthetic dataset, as in :func:`synthesize`.

    Args:
        identities: Numbers of training, validation and test identities, 1 to 9999 in total.
            Default: (120, 30, 30).
        images: Two numbers of images per camera, >= 1, for example visible and infrared images of
            each identity; their meaning depends on the layout. Default: (5, 8).
        difficulty: Difficulty of the cameras in [0, 2]: 0 is clean, 1 is hard. Default: 0.5.
        occlusion: Fraction of images with an object in front of the person. Default: 0.06.
        seed: Seed of the persons and cameras, an integer >= 0. Default: 0.

    Raises:
        ArgumentError: A setting is out of range.

    Examples:
        >>> from reid_ext.synthetic import Settings
        >>> settings = Settings(identities=(4, 0, 2), images=(1, 1))
        >>> settings.identities, settings.difficulty, settings.seed
        ((4, 0, 2), 0.5, 0)
    """

    identities: tuple[int, ...] = (120, 30, 30)
    images: tuple[int, ...] = (5, 8)
    difficulty: float = 0.5
    occlusion: float = 0.06
    seed: int = 0

    def __post_init__(self) -> None:
        identities = _counts("identities", self.identities, ("train", "val", "test"), least=0)
        images = _counts("images", self.images, ("visible", "infrared"), least=1)
        difficulty = number("synthesize", "difficulty", self.difficulty, 0, HARDEST)
        occlusion = number("synthesize", "occlusion", self.occlusion, 0, 1)
        seed = integer("synthesize", "seed", self.seed, 0)
        if not 0 < sum(identities) <= FOUR_DIGITS:
            requirement = f"be 1 to {FOUR_DIGITS} in total"
            raise ArgumentError("synthesize", "identities", requirement, described(identities))
        # Lists and NumPy numbers are valid arguments; the manifest is compared as plain Python.
        plain = (identities, images, difficulty, occlusion, seed)
        for field, value in zip(fields(self), plain, strict=True):
            object.__setattr__(self, field.name, value)

    def manifest(self, name: str) -> dict[str, Any]:
        """The settings of the dataset ``name`` as JSON values, for its manifest file."""
        values = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        return {"format": FORMAT, "name": name, **values}


def settings_from(presets: Mapping[str, Settings], preset: str, **changes: Any) -> Settings:
    """The settings of a preset, with the changes that are not None."""
    choice("synthesize", "preset", preset, presets)
    chosen = {name: value for name, value in changes.items() if value is not None}
    return Settings(**{**asdict(presets[preset]), **chosen})


def _counts(name: str, value: Any, of: tuple[str, ...], *, least: int) -> tuple[int, ...]:
    """The integers of a tuple or list, one for each name in ``of``."""
    if not isinstance(value, tuple | list) or len(value) != len(of):
        requirement = f"be {len(of)} integers ({', '.join(of)})"
        raise ArgumentError("synthesize", name, requirement, described(value))
    places = (f"{name}[{i}]" for i in range(len(of)))
    return tuple(
        integer("synthesize", place, number, least, FOUR_DIGITS)
        for place, number in zip(places, value, strict=True)
    )
