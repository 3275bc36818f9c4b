"""Batches that do not fit into memory: embedded in parts, with one loss over the whole batch.

Pairwise losses use the hardest pairs of the whole batch, so summing the gradients of smaller
batches would minimise another loss. Here the activations of each part are discarded and computed
again in the backward pass, which costs a second forward pass. Gao et al. 2021, arXiv:2101.06983,
call this gradient caching.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reid_ext.models import Embedding, TwoStream


class InParts(nn.Module):
    """A network that keeps the activations of only one part of its batch in memory.

    The neck sees the whole batch. The batch norms of the backbone see one part, so the result
    differs slightly from that of one pass over all images. A part consists of every ``parts``-th
    image, so it has all identities and modalities.

    Args:
        model: Network to wrap. Its parameters, buffers and random numbers are used in the same
            way as without parts.
        parts: Number of parts, at least 1.
    """

    def __init__(self, model: TwoStream, parts: int):
        super().__init__()
        self.model = model
        self.parts = parts

    def forward(self, images: Tensor, modalities: Tensor) -> Embedding:
        parts = min(self.parts, max(1, len(images) // 2))  # a batch norm needs two images
        pooled = [
            checkpoint(
                self.model.pooled,
                images[first::parts],
                modalities[first::parts],
                use_reentrant=False,
                context_fn=self._contexts,
            )
            for first in range(parts)
        ]
        order = torch.cat([torch.arange(first, len(images), parts) for first in range(parts)])
        back = order.argsort().to(images.device, non_blocking=True)
        return self.model.embed(torch.cat(pooled).index_select(0, back), modalities)

    def _contexts(self) -> tuple[AbstractContextManager, AbstractContextManager]:
        """The contexts of the forward pass and of its repetition, which tracks no statistics."""
        return nullcontext(), _statistics_kept(self.model)


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """In this context, batch norms normalise by the batch but do not track its statistics."""
    norms: list[Any] = [m for m in model.modules() if hasattr(m, "num_batches_tracked")]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, counter) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counter
