"""Checkpoints: the complete state of a run in one file, for resuming and for loading the model.

A checkpoint holds only tensors, numbers and strings, so it loads with ``weights_only=True`` and
cannot run code. It is written to a temporary file that is then renamed, so it is never incomplete.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from reid_ext._runtime.argument_error import ArgumentError
from reid_ext._runtime.tensor_file import load_tensors
from reid_ext._runtime.writing import whole_file
from reid_ext.training.objective import Objective
from reid_ext.training.optimizer import Optimizers

FORMAT = "reid_ext checkpoint"
VERSION = 4  # 4 adds the duration of the training in seconds
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
    """An object whose state can be saved and restored."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


@dataclass
class TrainingState:
    """The complete state of a run between two iterations.

    Attributes:
        model: Network that is trained.
        objective: Losses of the run, whose parameters are part of the state.
        optimizer: Optimisers of the run.
        scaler: Gradient scaler of mixed precision. A disabled scaler has no state.
        sampler: Sampler of the loader.
        settings: Maps names to numbers, strings, None or tuples of these. A run can be resumed
            only with equal settings.
        average: Moving average of the parameters. Default: None, no average.
        iteration: Number of finished iterations. Default: 0.
        seconds: Duration of the training in all calls up to this iteration. Default: 0.
        best: Highest validation score so far. Default: None, no validation yet.
        position: State of the sampler after this iteration.

    Examples:
        >>> import tempfile
        >>> import torch
        >>> from reid_ext import data, models, training
        >>> model = models.TwoStream("small", num_identities=2)
        >>> recipe = training.EMBEDDED_VISIBLE
        >>> objective = training.build_objective("softmax", recipe, model)
        >>> optimizer = training.Optimizers(model, objective, recipe)
        >>> scaler = torch.amp.GradScaler("cpu", enabled=False)
        >>> samples = [data.Sample("", identity, camera=0) for identity in (0, 0, 1, 1)]
        >>> sampler = data.IdentityBatches(samples, identities=2, images=2)
        >>> settings = {"seed": 0}
        >>> state = training.TrainingState(model, objective, optimizer, scaler, sampler, settings)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     state.advance()
        ...     state.save(f"{folder}/checkpoint.pt")
        ...     state.iteration = 99
        ...     state.restore(f"{folder}/checkpoint.pt")
        >>> state.iteration
        1
    """

    model: nn.Module
    objective: Objective
    optimizer: Optimizers
    scaler: torch.amp.GradScaler
    sampler: Stateful
    settings: dict[str, Any]
    average: AveragedModel | None = None
    iteration: int = 0
    seconds: float = 0.0
    best: float | None = None
    position: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.position = self.sampler.state_dict()

    def advance(self) -> None:
        """Count one iteration, without batches that are prepared but not used."""
        self.iteration += 1
        self.position = self.sampler.state_dict()

    def save(self, path: str | Path) -> None:
        """Write the state to ``path``; the file is complete or unchanged."""
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
        """Load the state in ``path``.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the file is not a complete checkpoint of this version, or it was written
                with other settings.
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
    """Return the content of a checkpoint with its tensors on the CPU.

    Args:
        path: Checkpoint that a training wrote.

    Returns:
        A dict with the keys "settings", "model", "iteration", "seconds" and others. It never runs
        code from the file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is truncated, damaged, or from another program or version.

    Examples:
        >>> import tempfile
        >>> import torch
        >>> from reid_ext import data, models, training
        >>> model = models.TwoStream("small", num_identities=2)
        >>> recipe = training.EMBEDDED_VISIBLE
        >>> objective = training.build_objective("softmax", recipe, model)
        >>> optimizer = training.Optimizers(model, objective, recipe)
        >>> scaler = torch.amp.GradScaler("cpu", enabled=False)
        >>> samples = [data.Sample("", identity, camera=0) for identity in (0, 0, 1, 1)]
        >>> sampler = data.IdentityBatches(samples, identities=2, images=2)
        >>> settings = {"seed": 0}
        >>> state = training.TrainingState(model, objective, optimizer, scaler, sampler, settings)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     state.save(f"{folder}/checkpoint.pt")
        ...     content = training.read_checkpoint(f"{folder}/checkpoint.pt")
        >>> content["settings"], content["iteration"]
        ({'seed': 0}, 0)
    """
    if not Path(path).is_file():
        is_not = "does not exist; train first, or give the checkpoint of an earlier run"
        if Path(path).is_dir():
            is_not = "is a folder; give the checkpoint.pt in it"
        raise FileNotFoundError(f"checkpoint: path must be a file, got {path}, which {is_not}")
    try:
        content = load_tensors(Path(path))
    except Exception as error:  # zipfile, pickle and torch raise many types
        kind = f"truncated, damaged or from another program ({type(error).__name__})"
        advice = "give another checkpoint, or train again"
        raise _invalid("be a complete checkpoint", f"{path}, which is {kind}", advice) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        advice = "pass ImageNet weights to build_backbone(weights=...)"
        raise _invalid("be a checkpoint of reid_ext", f"{path}, a file of another program", advice)
    if content.get("version") != VERSION:
        value = f"{path} with version {str(content.get('version'))[:20]}"
        advice = "load it with the version of reid_ext that wrote it, or train again"
        raise _invalid(f"have format version {VERSION}", value, advice)
    if missing := sorted(_KEYS - content.keys()):
        raise _invalid(f"hold {', '.join(missing)}", f"{path} without them", "train again")
    return content


def _invalid(requirement: str, value: str, advice: str) -> ArgumentError:
    return ArgumentError("checkpoint", "path", requirement, value, advice)


def load_model(path: str | Path, model: nn.Module) -> dict[str, Any]:
    """Load the parameters of a checkpoint into a model.

    If the run averages its parameters, the averaged parameters are loaded.

    Args:
        path: Checkpoint that a training wrote.
        model: Network of the same structure, changed in place.

    Returns:
        The settings of the run that wrote the checkpoint.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not a complete checkpoint of this version, or its parameters do
            not fit the model.

    Examples:
        >>> import tempfile
        >>> import torch
        >>> from reid_ext import data, models, training
        >>> model = models.TwoStream("small", num_identities=2)
        >>> recipe = training.EMBEDDED_VISIBLE
        >>> objective = training.build_objective("softmax", recipe, model)
        >>> optimizer = training.Optimizers(model, objective, recipe)
        >>> scaler = torch.amp.GradScaler("cpu", enabled=False)
        >>> samples = [data.Sample("", identity, camera=0) for identity in (0, 0, 1, 1)]
        >>> sampler = data.IdentityBatches(samples, identities=2, images=2)
        >>> settings = {"seed": 0}
        >>> state = training.TrainingState(model, objective, optimizer, scaler, sampler, settings)
        >>> other = models.TwoStream("small", num_identities=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     state.save(f"{folder}/checkpoint.pt")
        ...     training.load_model(f"{folder}/checkpoint.pt", other)
        {'seed': 0}
        >>> torch.equal(other.classifier.weight, model.classifier.weight)
        True
    """
    content = read_checkpoint(path)
    _load(model, parameters(content), path)
    return content["settings"]


def parameters(content: dict[str, Any]) -> dict[str, Any]:
    """Return the state dict of the network in a checkpoint.

    Args:
        content: Content of the checkpoint, from :func:`read_checkpoint`.

    Returns:
        The averaged parameters if the run averages them, else the last ones.

    Examples:
        >>> from reid_ext import training
        >>> training.parameters({"model": {"weight": 1.0}, "average": None})
        {'weight': 1.0}
        >>> average = {"n_averaged": 3, "module.weight": 2.0}
        >>> training.parameters({"model": {"weight": 1.0}, "average": average})
        {'weight': 2.0}
    """
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
    except RuntimeError as error:  # torch raises it if a write fails
        raise OSError(
            f"checkpoint: path must be on a disk with enough space, got {path}, which could not be "
            f"written completely ({error.__context__ or error}); free some space"
        ) from error


def _load(model: nn.Module, state: dict[str, Any], path: str | Path) -> None:
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).split("\n")[1:2] or [str(error)]
        value = f"{path} with other parameters ({reason[0].strip()})"
        advice = "build the model with the settings of that run"
        raise _invalid("hold the parameters of this model", value, advice) from error


def _check_settings(saved: dict[str, Any], own: dict[str, Any], path: str | Path) -> None:
    """Raise ValueError if the settings of the checkpoint and of this run differ."""
    keys = sorted(saved.keys() | own.keys())
    differ = [k for k in keys if _plain(saved.get(k)) != _plain(own.get(k))]
    if differ:
        shown = ", ".join(f"{k} = {saved.get(k)!r} (now {own.get(k)!r})" for k in differ[:5])
        advice = "resume with the settings of that run, or start a new run in another folder"
        raise _invalid("be of a run with the same settings", f"{path} with {shown}", advice)


def _plain(value: Any) -> Any:
    """The value with lists as tuples, so that both compare equal."""
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) else value


def _cuda_rng_states() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
