"""Checkpoints: one file from which a run continues bit for bit, and from which a model is loaded.

A checkpoint holds only tensors, numbers and strings, so it loads with ``weights_only=True`` and
cannot run code. It is written to another file and then renamed, so it is complete or absent.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from reid_ext._runtime.writing import whole_file
from reid_ext.training.objective import Objective
from reid_ext.training.optimizer import Optimizers

FORMAT = "reid_ext checkpoint"
VERSION = 4  # 4 adds the seconds that the training took
_KEYS = {
    "iteration",
    "seconds",
    "settings",
    "model",
    "average",
    "objective",
    "optimizer",
    "scaler",
    "sampler",
    "best",
    "rng",
}


class Stateful(Protocol):
    """Anything with a state that can be saved."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


@dataclass
class TrainingState:
    """The complete state of a run between two iterations.

    ``settings`` map names to numbers, strings, None or tuples of these. They must be the same
    when the run is continued.
    """

    model: nn.Module
    objective: Objective
    optimizer: Optimizers
    scaler: torch.amp.GradScaler
    sampler: Stateful
    settings: dict[str, Any]
    average: AveragedModel | None = None
    iteration: int = 0
    seconds: float = 0.0  # of training, in all calls up to this iteration
    best: float | None = None  # highest score of a validation so far
    position: dict[str, Any] = field(init=False)  # of the sampler, after that iteration

    def __post_init__(self) -> None:
        self.position = self.sampler.state_dict()

    def advance(self) -> None:
        """Count an iteration. A batch that the loader has prepared but not used does not count."""
        self.iteration += 1
        self.position = self.sampler.state_dict()

    def save(self, path: str | Path) -> None:
        """Write the state to ``path`` atomically."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "iteration": self.iteration,
            "seconds": self.seconds,
            "settings": self.settings,
            "model": self.model.state_dict(),
            "average": self.average and self.average.state_dict(),
            "best": self.best,
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "sampler": self.position,
            "rng": {"cpu": torch.get_rng_state(), "cuda": _cuda_rng_states()},
        }
        write_atomically(content, Path(path))

    def restore(self, path: str | Path) -> None:
        """Take over the state in ``path``.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the file is not a complete checkpoint of this version, or its settings
                differ.
        """
        content = read_checkpoint(path)
        _check_settings(content["settings"], self.settings, path)
        _load(self.model, content["model"], path)
        if self.average is not None:
            _load(self.average, content["average"], path)
        _load(self.objective, content["objective"], path)
        self.optimizer.load_state_dict(content["optimizer"])
        self.scaler.load_state_dict(content["scaler"])
        self.sampler.load_state_dict(content["sampler"])
        self.iteration, self.position = content["iteration"], content["sampler"]
        self.seconds, self.best = float(content["seconds"]), content["best"]
        torch.set_rng_state(content["rng"]["cpu"])
        if len(content["rng"]["cuda"]) == len(_cuda_rng_states()):
            torch.cuda.set_rng_state_all(content["rng"]["cuda"])


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return the content of a checkpoint, on the CPU: settings, model, iteration and the rest.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is truncated, damaged, or of another program or version.
    """
    if not Path(path).is_file():
        is_not = "is not there; train first, or name that of an earlier run"
        if Path(path).is_dir():
            is_not = "is a folder; give the checkpoint.pt in it"
        raise FileNotFoundError(f"checkpoint: path must be a file, got {path}, which {is_not}")
    try:
        _check_archive(Path(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zipfile, pickle and torch each have errors of their own
        raise ValueError(
            f"checkpoint: path must be a whole checkpoint, got {path}, which is cut, damaged or "
            f"of another program ({type(error).__name__}); give another, or train again"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"checkpoint: path must be a checkpoint of reid_ext, got {path}, a file of another "
            "program; as ImageNet weights it would go to build_backbone(weights=...)"
        )
    if content.get("version") != VERSION:
        raise ValueError(
            f"checkpoint: path must have format version {VERSION}, got {path} with "
            f"{str(content.get('version'))[:20]}; load it with the reid_ext that wrote it, or "
            "train again"
        )
    if missing := sorted(_KEYS - content.keys()):
        raise ValueError(
            f"checkpoint: path must hold {', '.join(missing)}, got {path} without; train again"
        )
    return content


def _check_archive(path: Path) -> None:
    """Raise unless the archive is uncompressed, as torch writes it, so it cannot unpack to more."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(info.file_size for info in archive.infolist())
    if unpacked > path.stat().st_size:
        raise ValueError(f"{unpacked} bytes packed in {path.stat().st_size}")


def load_model(path: str | Path, model: nn.Module) -> dict[str, Any]:
    """Load the parameters in ``path`` into ``model`` and return the settings they came from.

    If the run averages its parameters, the averaged ones are loaded.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_checkpoint`; also ValueError if the
            parameters belong to another model.
    """
    content = read_checkpoint(path)
    _load(model, parameters(content), path)
    return content["settings"]


def parameters(content: dict[str, Any]) -> dict[str, Any]:
    """Return the model's state dict of a checkpoint's content: the averaged one if there is one."""
    if content["average"] is None:
        return content["model"]
    prefix = "module."
    own = content["average"].items()
    return {key.removeprefix(prefix): value for key, value in own if key.startswith(prefix)}


def write_atomically(content: dict[str, Any], path: Path) -> None:
    """Save ``content`` at ``path`` with torch.save, completely or not at all.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
    """
    _write_atomically(lambda file: torch.save(content, file), path)


def write_bytes_atomically(content: bytes, path: Path) -> None:
    """Write ``content`` to ``path``, completely or not at all."""
    _write_atomically(lambda file: file.write(content), path)


def _write_atomically(write: Callable[[BinaryIO], Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with whole_file(path) as part, part.open("wb") as file:
            write(file)
    except RuntimeError as error:  # torch raises it for a write that failed
        raise OSError(
            f"checkpoint: path must be on a disk with room for it, got {path}, which could not be "
            f"written to its end ({error.__context__ or error}); free some space"
        ) from error


def _load(model: nn.Module, state: dict[str, Any], path: str | Path) -> None:
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).split("\n")[1:2] or [str(error)]
        raise ValueError(
            f"checkpoint: path must hold the parameters of this model, got {path} with others "
            f"({reason[0].strip()}); build the model with the settings of that run"
        ) from error


def _check_settings(saved: dict[str, Any], own: dict[str, Any], path: str | Path) -> None:
    """Raise if a run would be continued with other settings."""
    keys = sorted(saved.keys() | own.keys())
    differ = [k for k in keys if _plain(saved.get(k)) != _plain(own.get(k))]
    if differ:
        shown = ", ".join(f"{k} = {saved.get(k)!r} (now {own.get(k)!r})" for k in differ[:5])
        raise ValueError(
            f"checkpoint: path must be of a run with these settings, got {path} with {shown}; "
            "resume with the settings of that run, or start a new one in another folder"
        )


def _plain(value: Any) -> Any:
    """Lists and tuples compare alike."""
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) else value


def _cuda_rng_states() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
