"""What a layout offers: a module, or an object, that knows whom to photograph and where it goes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from reid_ext.synthetic.settings import Settings


class Layout(Protocol):
    """The steps of a render, in the order in which they are taken."""

    @property
    def PRESETS(self) -> Mapping[str, Settings]:
        """Settings by name; "default" and "tiny"."""

    def check(self, settings: Settings) -> None:
        """ValueError for settings that this layout cannot have."""

    def number_of_images(self, settings: Settings) -> int:
        """How many images there will be."""

    def tasks(self, settings: Settings) -> Sequence[Any]:
        """The persons to photograph, each of which a process of its own can render."""

    def prepare(self, folder: Path, settings: Settings) -> None:
        """Make the folders, and write what is known before the first image."""

    def render(self, folder: Path, settings: Settings, task: Any) -> dict[str, int]:
        """Write all images of one person; returns the view of each path below ``folder``."""

    def finish(self, folder: Path, settings: Settings, paths: Sequence[str]) -> None:
        """Write the lists of all images, whose sorted paths are given."""
