"""The output folder of a run, which protects the files of an earlier run."""

from pathlib import Path

from reid_ext import distributed
from reid_ext._runtime.arguments import ArgumentError
from reid_ext.training.options import RunOptions

_OF_A_RUN = ("metrics.json", "checkpoint.pt", "trial-*/checkpoint.pt")
_FILES = (
    *("metrics.json", "config.toml", "cmc.png", "ranked_list.png", "ranked_list_reranked.png"),
    *("angles.png", "angles.json"),
)
_FILES_OF_A_TRAINING = ("checkpoint.pt", "best.pt", "trace.json", "events.out.tfevents.*")


def check_earlier_run(options: RunOptions) -> None:
    """Raise ArgumentError if the folder holds a run that is neither resumed nor overwritten.

    Processes that torchrun has restarted continue their own run.
    """
    folder = Path(options.out or "")
    runs = [path for pattern in _OF_A_RUN for path in folder.glob(pattern)]
    if runs and not (options.resume or options.overwrite or distributed.restarted()):
        requirement = "be a folder without an earlier run"
        advice = "add --overwrite to replace that run or --resume to continue it, or change --out"
        raise ArgumentError("run", "out", requirement, f"{folder} with {runs[0].name}", advice)


def make_folder(folder: Path) -> None:
    """Make the output folder, or raise ArgumentError if that is impossible."""
    try:
        with distributed.main_first():
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        got = f"{folder} ({error.strerror})"
        raise ArgumentError("run", "out", "be a writable folder", got) from error


def remove_earlier_run(folder: Path) -> None:
    """Remove the files that a run writes. Other files are kept."""
    of_a_training = [part + name for part in ("", "trial-*/") for name in _FILES_OF_A_TRAINING]
    for name in (*_FILES, *of_a_training):
        for path in folder.glob(name):
            path.unlink()
