"""Scalars for TensorBoard, when it is installed."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType


class ScalarLog:
    """Write scalars to event files in ``folder``; without tensorboard, or a folder, do nothing."""

    def __init__(self, folder: str | Path | None):
        self._writer = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(str(folder))

    def __enter__(self) -> "ScalarLog":
        return self

    def write(self, values: Mapping[str, float], iteration: int) -> None:
        """Add one point to the curve of each name."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, iteration)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
