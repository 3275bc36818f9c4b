"""The exponential moving average of the parameters, which often ranks better than the last ones."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def moving_average(model: nn.Module, decay: float) -> AveragedModel | None:
    """Return a model for the average of ``model``, or None if ``decay`` is 0.

    The running statistics of batch norms are averages already and are copied from the model.
    """
    if decay == 0:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))


@torch.no_grad()
def take_over(model: nn.Module, average: AveragedModel | None) -> None:
    """Copy the averaged parameters to ``model`` if there is an average."""
    if average is not None and average.n_averaged > 0:
        model.load_state_dict(average.module.state_dict())
