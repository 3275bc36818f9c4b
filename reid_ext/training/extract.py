"""Features of images, in order."""

import torch
from torch import Tensor

from reid_ext.data import Images, SequentialBatches, loader
from reid_ext.models import TwoStream
from reid_ext.training.precision import Precision


@torch.no_grad()
def extract(
    model: TwoStream,
    images: Images,
    *,
    batch_size: int = 128,
    device: str | torch.device = "cpu",
    precision: str = "float32",
    flip: bool = False,
    output: str = "features",
    workers: int = 0,
) -> Tensor:
    """Return what ``model`` makes of every image, in evaluation mode.

    Args:
        model: Moved to ``device``; its training mode is as before afterwards.
        images: Transformed for evaluation.
        batch_size: Images at a time; it may change the last bits of the result.
        device: Where the network runs.
        precision: As in :func:`train`.
        flip: Average each image's result with that of its mirror image.
        output: ``"features"`` (after the neck) or ``"pooled"`` (before).
        workers: Processes that read images; 0: this one.

    Returns:
        float32 on the CPU, shape (len(images), model.feature_dim).
    """
    if output not in ("features", "pooled"):
        raise ValueError(f"extract: output must be 'features' or 'pooled', got {output!r}")
    device = torch.device(device)
    autocast = Precision(precision, device).autocast
    batches = loader(
        images, SequentialBatches(len(images), batch_size), workers=workers, device=device
    )
    result = torch.empty(len(images), model.feature_dim)
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
    finally:
        model.train(was_training)
    return result
