"""Batch norm with the statistics of all processes, on any backend.

SyncBatchNorm of torch runs on GPUs only and does not cover the common-space norm of two modalities.
Here the sums are shared, so the result is that of the whole batch in one process.
"""

import functools
from typing import Any

import torch
from torch import Tensor, nn

from reid_ext.distributed.collectives import Group, is_distributed, sum_over_processes


class GlobalBatchNorm(nn.Module):
    """``BatchNorm1d`` or ``BatchNorm2d`` over the batches of all processes.

    The module takes over the parameters and running statistics of ``norm`` under the same names, so
    that either module loads the state dict of the other. In evaluation mode it computes the same as
    ``norm``.

    Args:
        norm: The batch norm to replace. It must have a momentum.
        group: Process group. Default: None, the default group.

    Shape:
        (N, C) or (N, C, H, W). N may differ between processes, and may be 0 in some of them.

    Raises:
        ValueError: If ``norm.momentum`` is None.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from reid_ext.distributed import GlobalBatchNorm
        >>> norm = GlobalBatchNorm(nn.BatchNorm1d(1))
        >>> norm(torch.tensor([[1.0], [3.0]])).detach().flatten().round(decimals=2).tolist()
        [-1.0, 1.0]
    """

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm, group: Group = None):
        super().__init__()
        if norm.momentum is None:
            got = "got momentum=None; set norm.momentum to a number such as 0.1"
            raise ValueError(f"GlobalBatchNorm: norm must have a momentum, {got}")
        self.group = group
        self.eps, self.momentum = norm.eps, norm.momentum
        for name, parameter in norm.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in norm.named_buffers(recurse=False):
            self.register_buffer(name, buffer)

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        mean, var, weight, bias = (getattr(self, name, None) for name in names)
        if not self.training:
            return nn.functional.batch_norm(x, mean, var, weight, bias, eps=self.eps)
        if not is_distributed(self.group):
            return nn.functional.batch_norm(
                x, mean, var, weight, bias, True, self.momentum, self.eps
            )
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        count = sum_over_processes(wide.new_tensor([wide.numel() / max(1, x.shape[1])]), self.group)
        mean = sum_over_processes(wide.sum(axes), self.group) / count
        centred = wide - mean.view(shape)
        var = sum_over_processes(centred.square().sum(axes), self.group) / count
        self._track(mean.detach(), var.detach(), float(count))
        out = centred * (var + self.eps).rsqrt().view(shape)
        if weight is not None:
            out = out * weight.view(shape)
        return (out if bias is None else out + bias.view(shape)).to(x.dtype)

    def _track(self, mean: Tensor, var: Tensor, count: float) -> None:
        running: Any = self
        if getattr(self, "running_mean", None) is None:
            return
        running.running_mean.lerp_(mean.to(running.running_mean.dtype), self.momentum)
        unbiased = var * (count / max(1.0, count - 1))
        running.running_var.lerp_(unbiased.to(running.running_var.dtype), self.momentum)
        if running.num_batches_tracked is not None:
            running.num_batches_tracked.add_(1)


def convert_norms(module: nn.Module, group: Group = None) -> nn.Module:
    """Replace every batch norm in ``module`` by :class:`GlobalBatchNorm`, in place; return it.

    Parameters stay the same objects.

    Args:
        module: The module whose children are converted.
        group: Process group. Default: None, the default group.

    Examples:
        >>> from torch import nn
        >>> from reid_ext.distributed import convert_norms
        >>> model = convert_norms(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
        >>> type(model[1]).__name__
        'GlobalBatchNorm'
    """
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            setattr(module, name, GlobalBatchNorm(child, group).train(child.training))
        elif hasattr(child, "total"):  # the norm per modality computes its own sums
            child.__dict__["total"] = functools.partial(sum_over_processes, group=group)
        else:
            convert_norms(child, group)
    return module
