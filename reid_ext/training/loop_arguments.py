"""Arguments of :func:`reid_ext.training.train`: execution, saving, records and validation."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn


class Execution(NamedTuple):
    """Device and precision of a training.

    Attributes:
        device: Device to train on. Default: "cpu".
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"`` (CUDA only), for the products in
            the network. Parameters, neck and losses are float32. Default: "float32".
        compiled: Whether to compile the network with torch.compile, which takes minutes. Default:
            False.

    Examples:
        >>> from reid_ext import training
        >>> training.Execution(device="cuda", precision="bfloat16").compiled
        False
    """

    device: str | torch.device = "cpu"
    precision: str = "float32"
    compiled: bool = False


class Saving(NamedTuple):
    """The checkpoint of a training.

    Attributes:
        checkpoint: File to write every ``recipe.save_every`` iterations, at the end, on Ctrl-C and
            on SIGTERM.
        resume: Whether to continue from ``checkpoint``. On a CPU the result has the same bits as
            that of an uninterrupted run. Default: False.
        settings: Further values that must be equal on resume, such as seed and dataset. Default:
            empty.

    Examples:
        >>> from reid_ext import training
        >>> training.Saving("runs/a/checkpoint.pt", settings={"seed": 0}).resume
        False
    """

    checkpoint: str | Path
    resume: bool = False
    settings: Mapping[str, Any] = MappingProxyType({})


class Records(NamedTuple):
    """Logs of a training besides its checkpoint.

    Attributes:
        folder: Folder for TensorBoard, if TensorBoard is installed. Default: None, no events.
        wandb_project: Project of Weights & Biases to log to, which needs wandb. Default: None.
        trace: JSON file for a trace of ten iterations, to open in chrome://tracing. A table of the
            slowest operators is printed as well. Default: None, no trace.

    Examples:
        >>> from reid_ext import training
        >>> training.Records(folder="runs/a", trace="runs/a/trace.json").folder
        'runs/a'
    """

    folder: str | Path | None = None
    wandb_project: str | None = None
    trace: str | Path | None = None


class Validation(NamedTuple):
    """Score of a network during its training.

    Attributes:
        every: Iterations between two scores. The network is also scored at the end.
        score: Function that returns the score of a network. Larger is better.
        name: Name of the score in the log. Default: "validation".
        keep: Checkpoint to write for the best score. Default: None, no such checkpoint.

    Examples:
        >>> from reid_ext import models, training
        >>> validation = training.Validation(every=100, score=lambda model: model.feature_dim)
        >>> validation.score(models.TwoStream("small", num_identities=2))
        576
    """

    every: int
    score: Callable[[nn.Module], float]
    name: str = "validation"
    keep: str | Path | None = None
