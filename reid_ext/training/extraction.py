"""Feature extraction: one row of features for each image, in the order of the images."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reid_ext._runtime.arguments import choice
from reid_ext._runtime.progress import Progress
from reid_ext.data import Images, SequentialBatches, columns, loader
from reid_ext.features import FeatureSet
from reid_ext.training.precision import Precision


def extract(
    model: nn.Module,
    images: Images,
    *,
    dataset: str = "",
    source: Mapping[str, Any] | None = None,
    **options: Any,
) -> FeatureSet:
    """Compute the features of images in evaluation mode, with everything known of the images.

    Args:
        model: A :class:`TwoStream`, or a module with the same call and ``feature_dim``. It is
            moved to ``device``, and its training mode is restored afterwards.
        images: Images with the transform for evaluation, at least one.
        dataset: Name of the dataset that the images are from, as for :func:`reid_ext.data.columns`.
            Default: ``""``.
        source: What is known of the features, such as the model and the preprocessing. Default:
            None.
        options: Any of the following.
        batch_size: Images per forward pass, at least 1. It may change the last bits of the result.
            Default: 128.
        device: Device to compute on. Default: "cpu".
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"`` (CUDA only), for the products in
            the network. Default: "float32".
        flip: Whether to average the features of each image and its mirror image. Default: False.
        output: ``"features"`` (after the neck) or ``"pooled"`` (before the neck). Default:
            "features".
        workers: Processes that read images. Default: 0, the main process reads them.
        progress: Progress bar that counts the images. The caller enters and leaves it. Default:
            None, no progress.

    Returns:
        A :class:`reid_ext.FeatureSet` with float32 features on the CPU and the columns of
        :func:`reid_ext.data.columns`.

    Raises:
        ArgumentError: an argument is invalid.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from reid_ext import data, models, training, viz
        >>> model = models.TwoStream("small", num_identities=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     viz.save_image(f"{folder}/0001.png", np.zeros((32, 16, 3), np.uint8))
        ...     samples = [data.Sample(f"{folder}/0001.png", identity=1, camera=1)]
        ...     images = data.Images(samples, data.EvaluationTransform(size=(32, 16)))
        ...     features = training.extract(model, images)
        >>> features.features.shape, features.identities
        (torch.Size([1, 576]), tensor([1]))
    """
    features = embed(model, images, **options)
    return FeatureSet(features, source=source, **columns(images.samples, dataset))


@torch.no_grad()
def embed(
    model: nn.Module,
    images: Images,
    *,
    batch_size: int = 128,
    device: str | torch.device = "cpu",
    precision: str = "float32",
    flip: bool = False,
    output: str = "features",
    workers: int = 0,
    progress: Progress | None = None,
) -> Tensor:
    """Return the features of images, float32 on the CPU; the arguments are those of extract."""
    choice("extract", "output", output, ("features", "pooled"))
    device = torch.device(device)
    autocast = Precision(precision, device).autocast
    batches = loader(
        images, SequentialBatches(len(images), batch_size), workers=workers, device=device
    )
    result = torch.empty(len(images), int(model.feature_dim))  # type: ignore[arg-type]
    was_training = model.training
    model.to(device).eval()
    try:
        for batch in batches:
            pixels = batch.images.to(device, non_blocking=True)
            with autocast():
                rows = getattr(model(pixels, batch.modalities), output)
                if flip:
                    rows = (rows + getattr(model(pixels.flip(3), batch.modalities), output)) / 2
            result[batch.indices] = rows.float().cpu()
            if progress is not None:
                progress.update(len(rows))
    finally:
        model.train(was_training)
    return result
