"""Loading and export of trained networks: checkpoints, safetensors, ONNX, TorchScript."""

from reid_ext.export.embedder import Embedder, load_embedder
from reid_ext.export.exporting import ENDINGS, export_model

__all__ = [
    "ENDINGS",
    "Embedder",
    "export_model",
    "load_embedder",
]


def __dir__() -> list[str]:
    return __all__
