"""From a file or a name to a network that embeds images: checkpoints, weights, ONNX, timm.

No file is trusted: checkpoints are read with ``weights_only=True``, safetensors and ONNX files hold
no code, and what they say of themselves is read as JSON.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reid_ext._runtime.arguments import ArgumentError
from reid_ext._runtime.writing import whole_file
from reid_ext.models import Embedding, TwoStream, build_backbone
from reid_ext.training import parameters, read_checkpoint

FUNCTION = "load_embedder"
TIMM = "timm:"
WEIGHTS_FORMAT = "reid_ext weights"
DEFAULT_SIZE = (256, 128)
NOT_READ = (".ts", ".pt2")  # TorchScript and torch.export may hold code


class Embedder(NamedTuple):
    """A network to embed images with, and the (height, width) in pixels that it reads.

    ``model`` is called as :class:`TwoStream` is and has its ``feature_dim``.
    """

    model: nn.Module
    size: tuple[int, int]
    settings: dict[str, Any]  # of the training run; empty where not known

    @property
    def part(self) -> str:
        """The part of an image that it was trained on, as in :class:`reid_ext.data.Images`."""
        return self.settings.get("part", "whole")


def load_embedder(
    source: str | Path,
    *,
    size: tuple[int, int] | None = None,
    weights: str | Path | None = "imagenet",
) -> Embedder:
    """Return the network that ``source`` names, on the CPU and in evaluation mode.

    Args:
        source: A checkpoint of a training script (.pt), weights written by ``reid-ext export``
            (.safetensors), an ONNX file (.onnx, with onnxruntime), or ``"timm:NAME"``.
        size: (height, width) in pixels; None: what the file says, and 256 x 128 for timm.
        weights: Of a timm model alone, as in :func:`reid_ext.models.build_backbone`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged or of another program, or does not say its image size.
        ImportError: the package that reads it is not installed, with the command that installs it.
    """
    name = str(source)
    if name.startswith(TIMM):
        backbone = build_backbone(name.removeprefix(TIMM), weights)
        model: nn.Module = TwoStream(backbone, 1, neck="none")  # no neck: the pooled features
        return Embedder(model.eval(), size or DEFAULT_SIZE, {})
    path = Path(source)
    if path.suffix in NOT_READ:
        requirement = "be checkpoint.pt, weights.safetensors, model.onnx or timm:NAME"
        got, advice = f"{path}, which is for other programs", "give what it was exported from"
        raise ArgumentError(FUNCTION, "source", requirement, got, advice)
    if path.suffix == ".onnx":
        from reid_ext.export.onnx_model import OnnxModel

        exported = OnnxModel(path)
        if size is not None and exported.fixed_size not in (None, size):
            height, width = exported.fixed_size or size
            requirement = f"be the {height}x{width} that {path} was exported with"
            advice = "leave it out, or export again with that size"
            raise ArgumentError(FUNCTION, "size", requirement, f"{size[0]}x{size[1]}", advice)
        return Embedder(exported, _size(path, size, exported.size), exported.settings)
    if path.suffix == ".safetensors":
        settings, state = read_weights(path)
    else:
        content = read_checkpoint(path)
        settings, state = content["settings"], parameters(content)
    model = _two_stream(path, settings, state)
    return Embedder(model.eval(), _size(path, size, settings.get("size")), settings)


def write_weights(path: Path, model: nn.Module, settings: dict[str, Any]) -> None:
    """Write parameters and settings as safetensors, at once or not at all."""
    try:
        from safetensors.torch import save
    except ImportError:
        raise ImportError(
            "export: safetensors needs safetensors, which is not installed; "
            'install it with pip install "reid_ext[export]"'
        ) from None

    state = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    facts = {"format": WEIGHTS_FORMAT, "settings": json.dumps(settings)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_bytes(save(state, metadata=facts))


def read_weights(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The settings and parameters of a .safetensors file; errors as :func:`load_embedder`."""
    if not path.is_file():
        raise FileNotFoundError(
            f"load_embedder: source must be a file, got {path}, which is not there"
        )
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise ImportError(
            f"load_embedder: {path.name} needs safetensors, which is not installed; "
            'install it with pip install "reid_ext[export]"'
        ) from None
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if facts.get("format") != WEIGHTS_FORMAT:
            raise ValueError("weights without settings")
        return json.loads(facts["settings"]), state
    except (SafetensorError, ValueError, KeyError) as error:
        requirement = "be weights that reid-ext export wrote"
        advice = "weights of a timm model go to --weights with timm:NAME"
        raise ArgumentError(FUNCTION, "source", requirement, f"{path} ({error})", advice) from error


def _two_stream(path: Path, settings: dict[str, Any], state: dict[str, Tensor]) -> TwoStream:
    try:
        backbone, neck = settings["backbone"], settings["neck"]
        identities = len(state["classifier.weight"])
    except KeyError as error:
        requirement = "come from a training script of reid_ext"
        got, advice = f"{path} without {error}", "export another network to ONNX"
        raise ArgumentError(FUNCTION, "source", requirement, got, advice) from error
    stripes = settings.get("stripes", 0)
    model = TwoStream(build_backbone(backbone), identities, neck=neck, stripes=stripes)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).split("\n")[1:2] or [str(error)]
        requirement = "hold the parameters of its own settings"
        got = f"{path} ({reason[0].strip()})"
        raise ArgumentError(FUNCTION, "source", requirement, got, "write it again") from error
    return model


def _size(path: Path, given: tuple[int, int] | None, own: Any) -> tuple[int, int]:
    if given is None and own is None:
        requirement = f"be given for {path}, which does not say the size of its images"
        raise ArgumentError(FUNCTION, "size", requirement, "None", "for example 256x128")
    height, width = given or own
    return int(height), int(width)


class ImagesToFeatures(nn.Module):
    """What is exported: images (N, 3, H, W) and, if the neck needs them, modalities (N,)."""

    def __init__(self, model: TwoStream):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, modalities: Tensor | None = None) -> Tensor:
        if modalities is None:
            modalities = torch.zeros_like(images[:, 0, 0, 0], dtype=torch.int64)
        embedding: Embedding = self.model(images, modalities)
        return embedding.features
