"""The common-space batch norm: after it, both modalities are compared, so both have its statistics.

Weight 1 and bias 0 at the start, and the bias stays 0. The released code of expAT (Ye et al.
2020) holds one such norm per modality for visible and infrared images, and a single one for
visible images alone; both are offered. Without a neck the common space is the pooled feature, as
in its Euclidean triplet baseline.
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
    """(N, D) -> (N, D), as it is."""

    def forward(self, x: Tensor, modalities: Tensor | None = None) -> Tensor:
        return x


def _as_it_is(x: Tensor) -> Tensor:
    return x


class PerModalityNorm(nn.Module):
    """One batch norm per modality: (N, D), modalities (N,) -> (N, D).

    The rows may stand in any order, and a batch may lack a modality, whose running statistics
    then stay as they are. The sums per modality are products with the (2, N) membership, so no
    row is moved and the host never waits for the device. ``total`` adds up a sum over the rows of
    several processes, if there are.
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
        """Move the running statistics, with the unbiased variance; count (2, 1)."""
        momentum = self.momentum * (count > 1)
        unbiased = var * count / (count - 1).clamp(min=1)
        self.running_mean.lerp_(mean, momentum.expand_as(mean).to(mean.dtype))
        self.running_var.lerp_(unbiased, momentum.expand_as(mean).to(mean.dtype))


def build_neck(name: str, dim: int) -> nn.Module:
    """Return the norm ``name``, a name of ``NECKS``, over ``dim`` features."""
    choice("TwoStream", "neck", name, NECKS)
    if name == "none":
        return NoNorm()
    return SharedNorm(dim) if name == "shared" else PerModalityNorm(dim)
