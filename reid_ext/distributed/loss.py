"""A loss over the batches of all processes, as one process with the whole batch would have it."""

from torch import Tensor, nn

from reid_ext.distributed.collectives import Group, gather_rows


class GlobalBatchLoss(nn.Module):
    """Apply a loss to the rows of all processes.

    Features are gathered, and every process computes the same loss of the whole batch. Hard pairs
    are so found among all images, and what comes back over the network is nothing: each process
    takes the gradient of its own rows. The losses of this package hold no N x N matrix, so that of
    the whole batch is cheap to repeat.

    Under DistributedDataParallel, which takes the mean of the processes' gradients, parameters get
    the gradient that one process would give them. Parameters of the loss itself get the whole
    gradient in every process: leave them out of DistributedDataParallel, or in, it is the same.

    Args:
        loss: Called as ``loss(features, labels, *more)`` with all rows.
        group: Process group; None: the default one. Without any, just ``loss``.

    Shape:
        features (n, D), differentiable, and labels and whatever follows, (n,): the rows of this
        process, in numbers that may differ from process to process. None is passed on.
    """

    def __init__(self, loss: nn.Module, group: Group = None):
        super().__init__()
        self.loss = loss
        self.group = group

    def forward(self, features: Tensor, *labels: Tensor | None) -> Tensor:
        rows = gather_rows(features, self.group)
        others = [None if t is None else gather_rows(t, self.group) for t in labels]
        value: Tensor = self.loss(rows, *others)
        return value
