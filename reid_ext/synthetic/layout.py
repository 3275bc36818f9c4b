"""The interface of a layout: a module or object that defines the persons and paths of a dataset."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from reid_ext.synthetic.settings import Settings


class Layout(Protocol):
    """The steps of rendering a dataset, in the order of the calls."""

    @property
    def PRESETS(self) -> Mapping[str, Settings]:
        """The settings of the presets "default" and "tiny"."""

    def check(self, settings: Settings) -> None:
        """Raise ArgumentError if this layout does not support the settings."""

    def number_of_images(self, settings: Settings) -> int:
        """The number of images that these settings give."""

    def tasks(self, settings: Settings) -> Sequence[Any]:
        """The persons to render; each can be rendered by another process."""

    def prepare(self, folder: Path, settings: Settings) -> None:
        """Create the folders and the files that do not depend on the images."""

    def render(self, folder: Path, settings: Settings, task: Any) -> dict[str, int]:
        """Write all images of one person, and return the view of each path below ``folder``."""

    def finish(self, folder: Path, settings: Settings, paths: Sequence[str]) -> None:
        """Write the lists of all images; ``paths`` are the sorted paths below ``folder``."""
