"""Trained networks that leave the program: embedders, ONNX and safetensors."""

from reid_ext.export.embedder import Embedder, load_embedder
from reid_ext.export.exporting import export_model

__all__ = ["Embedder", "export_model", "load_embedder"]
