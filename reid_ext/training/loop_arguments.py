"""Arguments of :func:`reid_ext.training.train`: where it computes, what it saves and records."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn


class Execution(NamedTuple):
    """How the network is computed.

    Attributes:
        device: Where to train.
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"`` (CUDA only), for the products in
            the network. Parameters, neck and losses are float32.
        compiled: Whether to compile the network with torch.compile, which takes minutes.
    """

    device: str | torch.device = "cpu"
    precision: str = "float32"
    compiled: bool = False


class Saving(NamedTuple):
    """The checkpoint of a training.

    Attributes:
        checkpoint: File to write every ``recipe.save_every`` iterations, at the end and on Ctrl-C.
        resume: Continue from ``checkpoint``; on a CPU the result has the same bits as a run that
            was never stopped.
        settings: Further values that must be the same on resume, such as seed and dataset.
    """

    checkpoint: str | Path
    resume: bool = False
    settings: Mapping[str, Any] = MappingProxyType({})


class Records(NamedTuple):
    """What a training writes down besides its checkpoint.

    Attributes:
        folder: Folder for TensorBoard, if it is installed.
        wandb_project: A project of Weights & Biases to log to; wandb must be installed.
        trace: File for a trace of a few iterations, for chrome://tracing; a table is printed.
    """

    folder: str | Path | None = None
    wandb_project: str | None = None
    trace: str | Path | None = None


class Validation(NamedTuple):
    """How a network is scored during its training.

    Attributes:
        every: Iterations from one score to the next; the network is also scored at the end.
        score: Returns the score of a network; larger is better.
        name: Of the score, for the log.
        keep: Path of the checkpoint with the best score.
    """

    every: int
    score: Callable[[nn.Module], float]
    name: str = "validation"
    keep: str | Path | None = None
