"""Training: complete runs with :func:`run`, or parts of a run for a loop of your own.

The parts are recipes, objectives, the loop with its checkpoints, and feature extraction.
"""

from reid_ext.training import command_line
from reid_ext.training.checkpoint import (
    TrainingState,
    load_model,
    parameters,
    read_checkpoint,
)
from reid_ext.training.config_file import read_config, write_config
from reid_ext.training.extraction import extract
from reid_ext.training.loop import Outcome, train
from reid_ext.training.loop_arguments import Execution, Records, Saving, Validation
from reid_ext.training.objective import OBJECTIVES, Objective, Targets, build_objective, method
from reid_ext.training.optimizer import Optimizers, build_optimizer
from reid_ext.training.options import RunOptions
from reid_ext.training.pipeline import run
from reid_ext.training.precision import PRECISIONS, fastest_precision
from reid_ext.training.preprocessing import transforms
from reid_ext.training.recipe import (
    CUHK03,
    DUKEMTMC,
    EMBEDDED,
    EMBEDDED_VISIBLE,
    MARKET1501,
    MSMT17,
    REGDB,
    SYSU,
    VERI776,
    Recipe,
)

__all__ = [
    "CUHK03",
    "DUKEMTMC",
    "EMBEDDED",
    "EMBEDDED_VISIBLE",
    "MARKET1501",
    "MSMT17",
    "OBJECTIVES",
    "PRECISIONS",
    "REGDB",
    "SYSU",
    "VERI776",
    "Execution",
    "Objective",
    "Optimizers",
    "Outcome",
    "Recipe",
    "Records",
    "RunOptions",
    "Saving",
    "Targets",
    "TrainingState",
    "Validation",
    "build_objective",
    "build_optimizer",
    "command_line",
    "extract",
    "fastest_precision",
    "load_model",
    "method",
    "parameters",
    "read_checkpoint",
    "read_config",
    "run",
    "train",
    "transforms",
    "write_config",
]


def __dir__() -> list[str]:
    return __all__
