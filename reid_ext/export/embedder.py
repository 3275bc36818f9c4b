"""Loads networks that embed images from checkpoints, weights, ONNX files or timm.

Files are not trusted: checkpoints are read with ``weights_only=True``, safetensors and ONNX files
contain no code, and their settings are read as JSON.
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
NOT_READ = (".ts", ".pt2")  # TorchScript and torch.export files can contain code


class Embedder(NamedTuple):
    """A network that embeds images, and the image size that it requires.

    Attributes:
        model: Network with the arguments and the ``feature_dim`` of :class:`TwoStream`.
        size: (height, width) of the input images, in pixels.
        settings: Settings of the training run; empty if unknown.

    Examples:
        >>> from reid_ext.export import Embedder
        >>> from reid_ext.models import TwoStream
        >>> embedder = Embedder(TwoStream("small", 10).eval(), size=(256, 128), settings={})
        >>> embedder.size, embedder.part
        ((256, 128), 'whole')
    """

    model: nn.Module
    size: tuple[int, int]
    settings: dict[str, Any]

    @property
    def part(self) -> str:
        """The image part that the network was trained on, as in :class:`reid_ext.data.Images`."""
        return self.settings.get("part", "whole")


def load_embedder(
    source: str | Path,
    *,
    size: tuple[int, int] | None = None,
    weights: str | Path | None = "imagenet",
) -> Embedder:
    """Load a network on the CPU, in evaluation mode.

    Args:
        source: Checkpoint of a training script (.pt), weights written by ``reid-ext export``
            (.safetensors), ONNX file (.onnx, requires onnxruntime), or ``"timm:NAME"``.
        size: (height, width) of the images in pixels. Default: None (the size in the file, or
            256 x 128 for timm).
        weights: Weights of a timm model, as in :func:`reid_ext.models.build_backbone`. Ignored for
            files. Default: ``"imagenet"``.

    Returns:
        The network, its image size and its settings.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is damaged or comes from another program, or its image size is unknown
            and ``size`` is None.
        ImportError: A required package is not installed. The message has the command to install
            it.

    Examples:
        >>> import tempfile
        >>> from reid_ext import export
        >>> from reid_ext.models import TwoStream
        >>> settings = {"backbone": "small", "neck": "shared"}
        >>> trained = export.Embedder(TwoStream("small", 10), (64, 32), settings)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f"{folder}/weights.safetensors"
        ...     _ = export.export_model(trained, path, "safetensors")
        ...     embedder = export.load_embedder(path)
        >>> embedder.size, embedder.model.feature_dim, embedder.model.training
        ((64, 32), 576, False)
    """
    name = str(source)
    if name.startswith(TIMM):
        size = size or DEFAULT_SIZE
        backbone = build_backbone(name.removeprefix(TIMM), weights, size=size)
        model: nn.Module = TwoStream(backbone, 1, neck="none")  # no neck: the pooled features
        return Embedder(model.eval(), size, {})
    path = Path(source)
    if path.suffix in NOT_READ:
        requirement = "be a .pt, .safetensors or .onnx file, or timm:NAME"
        got = f"{path}, which is not read because such a file can contain code"
        advice = "give the checkpoint that it was exported from"
        raise ArgumentError(FUNCTION, "source", requirement, got, advice)
    if path.suffix == ".onnx":
        from reid_ext.export.onnx_model import OnnxModel

        exported = OnnxModel(path)
        _check_size(path, size, exported.fixed_size)
        return Embedder(exported, _size(path, size, exported.size), exported.settings)
    if path.suffix == ".safetensors":
        settings, state = read_weights(path)
    else:
        content = read_checkpoint(path)
        settings, state = content["settings"], parameters(content)
    model = _two_stream(path, settings, state, size)
    return Embedder(model.eval(), _size(path, size, settings.get("size")), settings)


def write_weights(path: Path, model: nn.Module, settings: dict[str, Any]) -> None:
    """Write parameters and settings as safetensors; after an error no file remains."""
    try:
        from safetensors.torch import save
    except ImportError:
        raise ImportError(
            "export: the format safetensors needs the package safetensors, which is not installed; "
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
            f"load_embedder: source must be a file, got {path}, which does not exist"
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
            raise ValueError("it has no settings of reid_ext")
        return json.loads(facts["settings"]), state
    except (SafetensorError, ValueError, KeyError) as error:
        requirement = "be weights that reid-ext export wrote"
        advice = "pass weights of a timm model as weights, with source 'timm:NAME'"
        raise ArgumentError(FUNCTION, "source", requirement, f"{path} ({error})", advice) from error


def _two_stream(
    path: Path, settings: dict[str, Any], state: dict[str, Tensor], size: tuple[int, int] | None
) -> TwoStream:
    try:
        backbone, neck = settings["backbone"], settings["neck"]
        identities = len(state["classifier.weight"])
    except KeyError as error:
        requirement = "come from a training script of reid_ext"
        got = f"{path}, which lacks the entry {error}"
        advice = "a network of another program: export it to ONNX there and pass the .onnx file"
        raise ArgumentError(FUNCTION, "source", requirement, got, advice) from error
    network = build_backbone(backbone, size=settings.get("size"))
    _check_size(path, size, network.fixed_size)
    stripes = settings.get("stripes", 0)
    model = TwoStream(network, identities, neck=neck, stripes=stripes)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).split("\n")[1:2] or [str(error)]
        requirement = "hold the parameters of its own settings"
        got, advice = f"{path} ({reason[0].strip()})", "export the checkpoint again"
        raise ArgumentError(FUNCTION, "source", requirement, got, advice) from error
    return model


def _check_size(path: Path, size: tuple[int, int] | None, fixed: tuple[int, int] | None) -> None:
    if size is not None and fixed is not None and tuple(size) != tuple(fixed):
        requirement = f"be {fixed[0]}x{fixed[1]}, the only size that {path} accepts"
        raise ArgumentError(FUNCTION, "size", requirement, "{}x{}".format(*size), "leave it out")


def _size(path: Path, given: tuple[int, int] | None, own: Any) -> tuple[int, int]:
    if given is None and own is None:
        requirement = f"be given for {path}, which does not contain its image size"
        raise ArgumentError(FUNCTION, "size", requirement, "None", "for example 256x128")
    height, width = given or own
    return int(height), int(width)


class ImagesToFeatures(nn.Module):
    """The exported network: images (N, 3, H, W) and optional modalities (N,) to features (N, D)."""

    def __init__(self, model: TwoStream):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, modalities: Tensor | None = None) -> Tensor:
        if modalities is None:
            modalities = torch.zeros_like(images[:, 0, 0, 0], dtype=torch.int64)
        embedding: Embedding = self.model(images, modalities)
        return embedding.features
