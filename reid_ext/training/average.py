"""The exponential moving average of a network's parameters, often better than the last of them."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def moving_average(model: nn.Module, decay: float) -> AveragedModel | None:
    """Return the average of ``model`` to be, or None for ``decay`` 0.

    Running statistics of batch norms, averages themselves, are the model's own.
    """
    if decay == 0:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))


@torch.no_grad()
def take_over(model: nn.Module, average: AveragedModel | None) -> None:
    """Give ``model`` the averaged parameters, where there is an average."""
    if average is not None and average.n_averaged > 0:
        model.load_state_dict(average.module.state_dict())
