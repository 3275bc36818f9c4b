"""Batch norm with the statistics of all processes, on any backend.

torch's SyncBatchNorm runs on GPUs only, and the common-space norm of two modalities is not one of
torch's at all. Here the sums are shared, so the result is that of the whole batch in one process.
"""

import functools
from typing import Any

import torch
from torch import Tensor, nn

from reid_ext.distributed.collectives import Group, is_distributed, sum_over_processes


class GlobalBatchNorm(nn.Module):
    """``BatchNorm1d`` or ``BatchNorm2d`` over the batches of all processes.

    Takes over the parameters and running statistics of ``norm``, whose names stay: a state dict
    fits either. In evaluation it is ``norm``.

    Shape:
        (N, C) or (N, C, H, W); N may differ between processes, and be 0 in some.
    """

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm, group: Group = None):
        super().__init__()
        if norm.momentum is None:
            raise ValueError("GlobalBatchNorm: norm must have a momentum, got None")
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
    """Replace every batch norm in ``module``, in place, and return it; parameters stay the same."""
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            setattr(module, name, GlobalBatchNorm(child, group).train(child.training))
        elif hasattr(child, "total"):  # sums of its own: the norm per modality
            child.__dict__["total"] = functools.partial(sum_over_processes, group=group)
        else:
            convert_norms(child, group)
    return module
