"""An ONNX file as a network, run by onnxruntime."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.models import Embedding

METADATA = "reid_ext"  # the key of the settings in the file
INPUTS = ("images", "modalities")


class OnnxModel(nn.Module):
    """Maps images (N, 3, H, W), float32, and modalities (N,) to an :class:`Embedding`.

    The first input of the file is the images, an optional second one the modalities. The first
    output is the features (N, D). onnxruntime computes them on the CPU, unless ``providers`` has
    another device, and they are returned on the device of the images.

    Attributes:
        feature_dim: Number D of features.
        fixed_size: (height, width) of the images, or None if the file allows any size.
        size: ``fixed_size``, or the image size of the training run; None if both are unknown.
        settings: Settings of the exported training run; empty for files of other programs.

    Raises:
        FileNotFoundError: The file does not exist.
        ArgumentError: The file is not ONNX, or has other inputs or outputs.
        ImportError: onnxruntime is not installed.
    """

    def __init__(self, path: Path, providers: tuple[str, ...] = ("CPUExecutionProvider",)):
        super().__init__()
        self._session = _session(path, providers)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) not in (1, 2) or len(inputs[0].shape) != 4 or len(outputs[0].shape) != 2:
            shapes = ", ".join(f"{i.name} {i.shape}" for i in inputs)
            requirement = "take images (N, 3, H, W), optionally modalities (N,), and give (N, D)"
            got = f"{path} with {shapes} to {outputs[0].shape}"
            advice = "export the network with these inputs and outputs"
            raise ArgumentError("load_embedder", "source", requirement, got, advice)
        self._names = [i.name for i in inputs]
        height, width = inputs[0].shape[2:]
        fixed = isinstance(height, int) and isinstance(width, int)
        written = self._session.get_modelmeta().custom_metadata_map.get(METADATA, "{}")
        self.settings: dict[str, Any] = json.loads(written)
        self.fixed_size: tuple[int, int] | None = (height, width) if fixed else None
        self.size: tuple[int, int] | None = self.fixed_size or self.settings.get("size")
        self.feature_dim = self._feature_dim(outputs[0].shape[1])

    def forward(self, images: Tensor, modalities: Tensor) -> Embedding:
        given = [images.float().cpu().numpy(), modalities.long().cpu().numpy()]
        features = self._run(dict(zip(self._names, given, strict=False)))
        result = torch.from_numpy(features).to(images.device)
        return Embedding(result, result)

    def _run(self, given: dict[str, np.ndarray]) -> np.ndarray:
        return self._session.run(None, given)[0]

    def _feature_dim(self, declared: int | str | None) -> int:
        """The number of features in the file, or that of a single image if it is dynamic."""
        if isinstance(declared, int):
            return declared
        image = torch.zeros(1, 3, *(self.size or (256, 128)))
        return self(image, torch.zeros(1, dtype=torch.int64)).features.shape[1]


def _session(path: Path, providers: tuple[str, ...]) -> Any:
    if not path.is_file():
        raise FileNotFoundError(
            f"load_embedder: source must be a file, got {path}, which does not exist"
        )
    try:
        import onnxruntime
    except ImportError:
        raise ImportError(
            f"load_embedder: {path.name} needs onnxruntime, which is not installed; "
            'install it with pip install "reid_ext[export]"'
        ) from None
    try:
        return onnxruntime.InferenceSession(path, providers=list(providers))
    except Exception as error:  # onnxruntime has one class for each error code
        got, advice = f"{path} ({str(error).splitlines()[0]})", "export it again"
        raise ArgumentError("load_embedder", "source", "be an ONNX file", got, advice) from error
