"""Writes scalars to TensorBoard if it is installed, and to Weights & Biases on request."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from reid_ext import distributed


class ScalarLog:
    """Writes the curves of a training.

    Args:
        folder: Folder of the TensorBoard event files. None, or a missing TensorBoard: no files.
        wandb_project: Project of Weights & Biases to log to as well, from the first process only.
            Default: None, no project.

    Raises:
        ImportError: ``wandb_project`` is given and wandb is not installed.
    """

    def __init__(self, folder: str | Path | None, wandb_project: str | None = None):
        self._writer: Any = None
        self._run: Any = None
        if wandb_project is not None and distributed.is_main():
            self._run = _wandb_run(wandb_project, folder)
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
        if self._run is not None:
            self._run.log(dict(values), step=iteration)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._run is not None:
            self._run.finish(exit_code=0 if kind is None else 1)


def _wandb_run(project: str, folder: str | Path | None) -> Any:
    try:
        import wandb
    except ImportError:
        raise ImportError(
            "train: wandb_project needs wandb, which is not installed; install it with "
            "pip install wandb, or leave wandb_project out"
        ) from None
    return wandb.init(project=project, dir=folder and str(folder))
