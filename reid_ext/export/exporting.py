"""Export of trained networks to ONNX, TorchScript, torch.export and safetensors.

Each file is loaded again, and its features are compared with those of the network, before it gets
its final name. The batch size is dynamic, the image size is that of the training.
"""

import io
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
TRACED, TESTED = 2, (1, 3)  # batch sizes for tracing and for the comparison
TOLERANCE = 1e-3  # relative to the largest feature; other programs round differently


class Exported(NamedTuple):
    """The result of :func:`export_model`.

    Attributes:
        inputs: Names of the inputs of the exported network.
        largest_difference: Largest difference between the features of the file and of the network,
            divided by the largest absolute feature.
    """

    inputs: tuple[str, ...]
    largest_difference: float


def export_model(embedder: Embedder, path: str | Path, file_format: str) -> Exported:
    """Export a network to a file, and compare its features with those of the file.

    The exported network has the input ``images``, of shape (N, 3, height, width), float32,
    normalised as by ``data.EvaluationTransform``. A network with one batch norm for each modality
    has a second input ``modalities``, of shape (N,), int64. The output is ``features``, of shape
    (N, D), float32.

    Args:
        embedder: Network of a checkpoint, weights or timm, as :func:`load_embedder` returns it.
        path: File to write. After an error no file remains.
        file_format: ``"onnx"``, ``"torchscript"``, ``"torch_export"`` or ``"safetensors"``
            (parameters and settings only, for :func:`load_embedder`).

    Returns:
        The names of the inputs, and the largest difference between the features.

    Raises:
        ArgumentError: ``file_format`` is unknown, or ``embedder`` comes from an ONNX file.
        ImportError: A required package is not installed. The message has the command to install
            it.
        RuntimeError: The features of the file differ from those of the network.

    Examples:
        >>> import tempfile
        >>> from reid_ext import export
        >>> from reid_ext.models import TwoStream
        >>> embedder = export.Embedder(TwoStream("small", 10), (32, 16), {})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     exported = export.export_model(embedder, f"{folder}/model.ts", "torchscript")
        >>> exported.inputs, exported.largest_difference < 1e-3
        (('images',), True)
    """
    choice("export_model", "file_format", file_format, ENDINGS)
    model, path = embedder.model, Path(path)
    if not isinstance(model, TwoStream):
        requirement = "come from a checkpoint, weights or timm"
        advice = "export the checkpoint instead"
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
                        f"relative difference of {difference:.2g}; report this with the versions "
                        f"of torch and {file_format}"
                    )
    finally:
        model.train(was_training)
    return Exported(INPUTS if two else INPUTS[:1], difference)


def _inputs(embedder: Embedder, two: bool, rows: int) -> tuple[Tensor, ...]:
    """Random images with a fixed seed, and alternating modalities."""
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
        import onnxruntime  # noqa: F401  # used by the comparison: raise before the export
        import onnxscript  # noqa: F401  # torch.onnx needs it
    except ImportError as error:
        raise ImportError(
            f"export_model: onnx needs {error.name}, which is not installed; "
            'install it with pip install "reid_ext[export]"'
        ) from None
    names = INPUTS if two else INPUTS[:1]
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings(), _quiet("torch.onnx._internal.exporter._registration"):
        warnings.simplefilter("ignore")  # the exporter's warnings about itself
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
        raise RuntimeError(
            "export_model: torch.onnx.export must return a program, got no program; report this "
            "with the versions of torch and onnx"
        )
    proto = program.model_proto
    onnx.helper.set_model_props(proto, {METADATA: json.dumps(_facts(embedder))})
    onnx.save(proto, path)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Hide the warnings of a logger about torchvision's ops, which no network here uses."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _write_torchscript(embedder: Embedder, network: nn.Module, two: bool, path: Path) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # shape checks become constants; all batches pass them
        traced = torch.jit.trace(network, _inputs(embedder, two, TRACED), check_trace=False)
        content = io.BytesIO()  # torch's C++ code cannot open each path that Python can
        torch.jit.save(traced, content, _extra_files={METADATA: json.dumps(_facts(embedder))})
        path.write_bytes(content.getvalue())


def _write_torch_export(embedder: Embedder, network: nn.Module, two: bool, path: Path) -> None:
    batch = torch.export.Dim("batch", min=1)
    shapes = tuple({0: batch} for _ in range(1 + two))
    program = torch.export.export(network, _inputs(embedder, two, TRACED), dynamic_shapes=shapes)
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tensors that share memory, which is written once
        facts = {METADATA: json.dumps(_facts(embedder))}
        torch.export.save(program, content, extra_files=facts)
    path.write_bytes(content.getvalue())


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
        return torch.jit.load(io.BytesIO(path.read_bytes()))


_WRITERS = {
    "onnx": _write_onnx,
    "torchscript": _write_torchscript,
    "torch_export": _write_torch_export,
    "safetensors": _write_safetensors,
}
_READERS: dict[str, Callable[[Path], Callable[..., Tensor]]] = {
    "onnx": _read_onnx,
    "torchscript": _read_torchscript,
    "torch_export": lambda path: torch.export.load(io.BytesIO(path.read_bytes())).module(),
    "safetensors": _read_safetensors,
}
