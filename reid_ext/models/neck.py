"""The neck: a batch norm between the pooled features and the common space of both modalities.

The weight starts at 1. The bias is fixed at 0. The released code of expAT (Ye et al. 2020) has one
norm per modality for visible and infrared images, and a single norm for visible images only. Both
are available. Without a neck, the pooled features are the common space, as in the Euclidean triplet
baseline of that code.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from reid_ext._runtime.arguments import choice

NECKS = ("shared", "per_modality", "none")
MODALITIES = 2


class SharedNorm(nn.BatchNorm1d):
    """One batch norm for both modalities: (N, D) -> (N, D)."""

    def __init__(self, dim: int):
        super().__init__(dim)
        self.bias.requires_grad_(False)

    def forward(self, x: Tensor, modalities: Tensor | None = None) -> Tensor:
        return super().forward(x)


class NoNorm(nn.Module):
    """No norm: (N, D) -> (N, D), unchanged."""

    def forward(self, x: Tensor, modalities: Tensor | None = None) -> Tensor:
        return x


def _as_it_is(x: Tensor) -> Tensor:
    return x


class PerModalityNorm(nn.Module):
    """One batch norm per modality.

    The rows can be in any order. If a batch lacks a modality, the running statistics of that
    modality do not change. The sums per modality are products with a (2, N) membership matrix, so
    no row is moved and the host never waits for the device.

    Args:
        dim: Number of features D.
        eps: Added to the variance. Default: 1e-5.
        momentum: Weight of a new batch in the running statistics. Default: 0.1.

    Attributes:
        total: A function that sums a tensor over processes. Default: the identity (one process).

    Shape:
        - x: (N, D).
        - modalities: (N,), 0 for visible and 1 for infrared.
        - Returns: (N, D).

    Examples:
        >>> import torch
        >>> from reid_ext.models import PerModalityNorm
        >>> norm = PerModalityNorm(dim=1)
        >>> x = torch.tensor([[1.0], [3.0], [10.0], [30.0]])
        >>> norm(x, torch.tensor([0, 0, 1, 1])).round()  # each modality has mean 0, variance 1
        tensor([[-1.],
                [ 1.],
                [-1.],
                [ 1.]], grad_fn=<RoundBackward0>)
    """

    running_mean: Tensor  # (2, D)
    running_var: Tensor  # (2, D)

    def __init__(self, dim: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.total: Callable[[Tensor], Tensor] = _as_it_is
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(MODALITIES, dim))
        self.bias = nn.Parameter(torch.zeros(MODALITIES, dim), requires_grad=False)
        self.register_buffer("running_mean", torch.zeros(MODALITIES, dim))
        self.register_buffer("running_var", torch.ones(MODALITIES, dim))

    def forward(self, x: Tensor, modalities: Tensor) -> Tensor:
        codes = torch.arange(MODALITIES, device=x.device)
        member = (modalities.to(x.device, non_blocking=True) == codes[:, None]).to(x.dtype)
        mean, var = self.running_mean, self.running_var
        if self.training:
            count = self.total(member.sum(1, keepdim=True))  # (2, 1)
            share = member / count.clamp(min=1)  # (2, N)
            mean = self.total(share @ x)
            var = self.total(share @ (x - member.T @ mean).square())
            self._track(mean.detach(), var.detach(), count)
        scale = self.weight * (var + self.eps).rsqrt()
        return (x - member.T @ mean) * (member.T @ scale) + member.T @ self.bias

    def _track(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        """Update the running statistics with the unbiased variance. ``count`` has shape (2, 1)."""
        momentum = self.momentum * (count > 1)
        unbiased = var * count / (count - 1).clamp(min=1)
        self.running_mean.lerp_(mean, momentum.expand_as(mean).to(mean.dtype))
        self.running_var.lerp_(unbiased, momentum.expand_as(mean).to(mean.dtype))


def build_neck(name: str, dim: int) -> nn.Module:
    """Build the neck ``name``, one of ``NECKS``, for ``dim`` features."""
    choice("TwoStream", "neck", name, NECKS)
    if name == "none":
        return NoNorm()
    return SharedNorm(dim) if name == "shared" else PerModalityNorm(dim)
