"""A loss over the batches of all processes, equal to that of one process with the whole batch."""

from torch import Tensor, nn

from reid_ext.distributed.collectives import Group, gather_rows


class GlobalBatchLoss(nn.Module):
    """Apply a loss to the rows of all processes.

    Features are gathered, and every process computes the same loss of the whole batch. Hard pairs
    are therefore found among all images. The backward pass needs no communication, because each
    process takes the gradient of its own rows. The losses of this package store no N x N matrix, so
    repeating the loss of the whole batch in every process costs little memory.

    DistributedDataParallel averages the gradients of the processes, so parameters get the gradient
    that one process would give them. Parameters of the loss itself get the whole gradient in every
    process. It makes no difference whether DistributedDataParallel contains them.

    Args:
        loss: Called as ``loss(features, labels, *more)`` with the rows of all processes.
        group: Process group. Default: None, the default group. Without a process group the module
            applies ``loss`` to the given rows.

    Shape:
        features (n, D), differentiable; labels and all further arguments (n,). These are the rows
        of this process, and n may differ between processes. The value None is passed on.

    Examples:
        >>> import torch
        >>> from reid_ext.distributed import GlobalBatchLoss
        >>> from reid_ext.losses import TripletLoss
        >>> criterion = GlobalBatchLoss(TripletLoss(margin=0.3))
        >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> float(criterion(features, torch.tensor([1, 1, 2, 2])))
        0.0
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
