"""Trained networks for other programs: ONNX, TorchScript, torch.export and safetensors.

Every file is read back and its features compared with those of the network before it is moved to
its place. The batch is free, the image size that of the training.
"""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reid_ext._runtime.arguments import ArgumentError, choice
from reid_ext._runtime.writing import whole_file, writes
from reid_ext.export.embedder import Embedder, ImagesToFeatures, load_embedder, write_weights
from reid_ext.export.onnx_model import INPUTS, METADATA, OnnxModel
from reid_ext.models import PerModalityNorm, TwoStream

ENDINGS = {
    "onnx": ".onnx",
    "torchscript": ".ts",
    "torch_export": ".pt2",
    "safetensors": ".safetensors",
}
TRACED, TESTED = 2, (1, 3)  # images in the batch that is traced, and in those that are compared
TOLERANCE = 1e-3  # of the largest feature; convolutions of other programs round differently


class Exported(NamedTuple):
    """What came out: the inputs by name, and how far the file's features are from the network's."""

    inputs: tuple[str, ...]
    largest_difference: float  # over the largest absolute feature


def export_model(embedder: Embedder, path: str | Path, file_format: str) -> Exported:
    """Write the network as a file of another format, and compare the two.

    Args:
        embedder: From :func:`load_embedder`, of a checkpoint, weights or timm.
        path: Where; written whole or not at all.
        file_format: ``"onnx"``, ``"torchscript"``, ``"torch_export"`` or ``"safetensors"`` (the
            parameters and settings alone, for :func:`load_embedder`).

    The inputs are ``images`` (N, 3, height, width) float32, normalised as by
    ``data.EvaluationTransform``, and, where the network treats modalities differently,
    ``modalities`` (N,) int64; the output is ``features`` (N, D) float32.

    Raises:
        ArgumentError: another format, or an ONNX file as source.
        ImportError: a package is not installed, with the command that installs it.
        RuntimeError: the file's features differ from the network's.
    """
    choice("export_model", "file_format", file_format, ENDINGS)
    model, path = embedder.model, Path(path)
    if not isinstance(model, TwoStream):
        requirement = "come from a checkpoint, weights or timm"
        advice = "export the checkpoint that it came from"
        raise ArgumentError("export_model", "embedder", requirement, "an ONNX file", advice)
    two = isinstance(model.neck, PerModalityNorm)
    was_training = model.training
    model.cpu().eval()
    try:
        with writes("export_model: path", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path, ENDINGS[file_format]) as part:
                _WRITERS[file_format](embedder, ImagesToFeatures(model), two, part)
                difference = _largest_difference(embedder, _READERS[file_format](part), two)
                if not difference <= TOLERANCE:
                    raise RuntimeError(
                        f"export_model: {file_format} must give the network's features, got a "
                        f"difference of {difference:.2g} of the largest one; report it with the "
                        "versions of torch and of that format"
                    )
    finally:
        model.train(was_training)
    return Exported(INPUTS if two else INPUTS[:1], difference)


def _inputs(embedder: Embedder, two: bool, rows: int) -> tuple[Tensor, ...]:
    """Random images, the same each time, and alternating modalities."""
    generator = torch.Generator().manual_seed(rows)
    images = torch.randn(rows, 3, *embedder.size, generator=generator)
    return (images, torch.arange(rows) % 2) if two else (images,)


def _largest_difference(embedder: Embedder, read: Callable[..., Tensor], two: bool) -> float:
    worst = 0.0
    network = ImagesToFeatures(embedder.model)  # type: ignore[arg-type]
    for rows in TESTED:
        given = _inputs(embedder, two, rows)
        with torch.no_grad():
            want, got = network(*given), read(*given)
        worst = max(worst, float((got - want).abs().max() / want.abs().max()))
    return worst


def _write_onnx(embedder: Embedder, network: nn.Module, two: bool, path: Path) -> None:
    try:
        import onnx
        import onnxruntime  # noqa: F401  # for the comparison: say so before the work
        import onnxscript  # noqa: F401  # torch.onnx needs it
    except ImportError as error:
        raise ImportError(
            f"export_model: onnx needs {error.name}, which is not installed; "
            'install it with pip install "reid_ext[export]"'
        ) from None
    names = INPUTS if two else INPUTS[:1]
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings(), _quiet("torch.onnx._internal.exporter._registration"):
        warnings.simplefilter("ignore")  # the exporter's, about itself
        program = torch.onnx.export(
            network,
            _inputs(embedder, two, TRACED),
            input_names=list(names),
            output_names=["features"],
            dynamic_shapes={name: {0: batch} if name in names else None for name in names},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("export_model: torch.onnx.export must return a program, got None")
    proto = program.model_proto
    onnx.helper.set_model_props(proto, {METADATA: json.dumps(_facts(embedder))})
    onnx.save(proto, path)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Without the warnings of a logger: of torchvision's ops, which no network here has."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _write_torchscript(embedder: Embedder, network: nn.Module, two: bool, path: Path) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # shape checks become constants; they hold for any batch
        traced = torch.jit.trace(network, _inputs(embedder, two, TRACED), check_trace=False)
        traced.save(path, _extra_files={METADATA: json.dumps(_facts(embedder))})


def _write_torch_export(embedder: Embedder, network: nn.Module, two: bool, path: Path) -> None:
    batch = torch.export.Dim("batch", min=1)
    shapes = tuple({0: batch} for _ in range(1 + two))
    program = torch.export.export(network, _inputs(embedder, two, TRACED), dynamic_shapes=shapes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tensors that share memory: it is written once
        torch.export.save(program, path, extra_files={METADATA: json.dumps(_facts(embedder))})


def _write_safetensors(embedder: Embedder, network: nn.Module, two: bool, path: Path) -> None:
    write_weights(path, embedder.model, _facts(embedder))


def _facts(embedder: Embedder) -> dict[str, Any]:
    return {**embedder.settings, "size": list(embedder.size)}


def _read_onnx(path: Path) -> Callable[..., Tensor]:
    model = OnnxModel(path)
    return lambda images, modalities=None: (
        model(images, torch.zeros(len(images)) if modalities is None else modalities).features
    )


def _read_safetensors(path: Path) -> Callable[..., Tensor]:
    return ImagesToFeatures(load_embedder(path).model)  # type: ignore[arg-type]


def _read_torchscript(path: Path) -> Callable[..., Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(path)


_WRITERS = {
    "onnx": _write_onnx,
    "torchscript": _write_torchscript,
    "torch_export": _write_torch_export,
    "safetensors": _write_safetensors,
}
_READERS: dict[str, Callable[[Path], Callable[..., Tensor]]] = {
    "onnx": _read_onnx,
    "torchscript": _read_torchscript,
    "torch_export": lambda path: torch.export.load(path).module(),
    "safetensors": _read_safetensors,
}
