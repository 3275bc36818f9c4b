"""Features of images, in order."""

import torch
from torch import Tensor, nn

from reid_ext._runtime.arguments import choice
from reid_ext._runtime.progress import Progress
from reid_ext.data import Images, SequentialBatches, loader
from reid_ext.training.precision import Precision


@torch.no_grad()
def extract(
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
    """Return the features that ``model`` computes for every image, in evaluation mode.

    Args:
        model: A :class:`TwoStream`, or a module with the same call and ``feature_dim``. It is
            moved to ``device``; its training mode is restored afterwards.
        images: Transformed for evaluation.
        batch_size: Images per forward pass; it may change the last bits of the result.
        device: Where the network runs.
        precision: As in :func:`train`.
        flip: Average each image's result with that of its mirror image.
        output: ``"features"`` (after the neck) or ``"pooled"`` (before).
        workers: Processes that read images; 0: this process reads them.
        progress: Counts the images; entered and left by the caller.

    Returns:
        float32 on the CPU, shape (len(images), model.feature_dim).
    """
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
