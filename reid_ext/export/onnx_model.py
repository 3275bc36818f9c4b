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
FEATURES = "features"
FUNCTION = "load_embedder"
TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}


class OnnxModel(nn.Module):
    """Maps images (N, 3, H, W), float32, and modalities (N,) to an :class:`Embedding`.

    The first input of the file is the images, of any type of floats, an optional second one the
    modalities. A file for batches of one size gets the images in such batches. The features are the
    only output, or the one called features; they have the shape (N, D) or (N, D, 1, 1).
    onnxruntime computes them on the CPU, unless ``providers`` has another device, and they are
    returned as float32 on the device of the images.

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
        self._path, self._session = path, _session(path, providers)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        named = [o for o in outputs if o.name == FEATURES] or outputs
        if problem := _problem(inputs, named):
            shapes = ", ".join(f"{i.name} {i.type} {i.shape}" for i in [*inputs, *named])
            requirement = "map images (N, 3, H, W) of floats to features (N, D)"
            got = f"{path} with {shapes[:160]}"
            raise ArgumentError(FUNCTION, "source", requirement, got, problem)
        self._names, self._output = [i.name for i in inputs], named[0].name
        self._dtype = TYPES[inputs[0].type]
        batch, _, height, width = inputs[0].shape
        self._batch = batch if isinstance(batch, int) else None
        fixed = isinstance(height, int) and isinstance(width, int)
        written = self._session.get_modelmeta().custom_metadata_map.get(METADATA, "{}")
        self.settings: dict[str, Any] = json.loads(written)
        self.fixed_size: tuple[int, int] | None = (height, width) if fixed else None
        self.size: tuple[int, int] | None = self.fixed_size or self.settings.get("size")
        self.feature_dim = self._feature_dim(named[0].shape[1])

    def forward(self, images: Tensor, modalities: Tensor) -> Embedding:
        given = images.float().cpu().numpy().astype(self._dtype), modalities.long().cpu().numpy()
        rows = self._batch or max(len(images), 1)
        parts = [
            self._run(*(array[k : k + rows] for array in given))
            for k in range(0, len(images), rows)
        ]
        result = torch.from_numpy(np.concatenate(parts)).float().to(images.device)
        return Embedding(result, result)

    def _run(self, *given: np.ndarray) -> np.ndarray:
        """The features of a batch, which is filled up if the file has one batch size."""
        rows = len(given[0])
        missing = (self._batch or rows) - rows
        filled = [np.concatenate([array, np.repeat(array[:1], missing, 0)]) for array in given]
        try:
            found = self._session.run([self._output], dict(zip(self._names, filled, strict=False)))
        except Exception as error:  # onnxruntime has one class for each error code
            size = "x".join(map(str, given[0].shape[2:]))
            requirement, got = f"accept images of {size}", f"{self._path} ({_first_line(error)})"
            raise ArgumentError(
                FUNCTION, "source", requirement, got, "pass its own size"
            ) from error
        return found[0][:rows].reshape(rows, -1)

    def _feature_dim(self, declared: int | str | None) -> int:
        """The number of features in the file, or that of a single image if it is dynamic."""
        if isinstance(declared, int):
            return declared
        image = torch.zeros(1, 3, *(self.size or (256, 128)))
        return self(image, torch.zeros(1, dtype=torch.int64)).features.shape[1]


def _problem(inputs: list[Any], outputs: list[Any]) -> str:
    """Return what to change in the export of a file with these inputs and outputs, or ""."""
    images, *others = inputs
    if len(images.shape) == 4 and images.shape[1] != 3 and images.shape[3] == 3:
        return "export it with the channels before height and width"
    if images.type not in TYPES:
        return "export it without the layers that convert and normalise the images"
    if len(outputs) != 1:
        return f"export one output, or call the features {FEATURES!r}"
    is_known = len(images.shape) == 4 and images.shape[1] in (3, None)
    is_known |= len(images.shape) == 4 and isinstance(images.shape[1], str)
    shape = outputs[0].shape
    is_known &= len(shape) >= 2 and all(size == 1 for size in shape[2:])
    is_known &= len(others) <= 1 and all(o.type == "tensor(int64)" for o in others)
    return "" if is_known else "export the network with these inputs and outputs"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:120]


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
        got, advice = f"{path} ({_first_line(error)})", "export it again"
        raise ArgumentError(FUNCTION, "source", "be an ONNX file", got, advice) from error
