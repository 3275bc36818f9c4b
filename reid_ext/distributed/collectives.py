"""Rows of all processes under one another, and sums over them, with their gradients."""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

Group = Any  # dist.ProcessGroup, or None for the default one


def is_distributed(group: Group = None) -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size(group) > 1


def world_size(group: Group = None) -> int:
    """How many processes there are; 1 without a process group."""
    return dist.get_world_size(group) if is_distributed(group) else 1


def rank(group: Group = None) -> int:
    """Which of them this is, from 0."""
    return dist.get_rank(group) if is_distributed(group) else 0


def row_counts(rows: int, group: Group, device: torch.device) -> list[int]:
    """How many rows each process has."""
    mine = torch.tensor([rows], device=device)
    counts = [torch.empty_like(mine) for _ in range(world_size(group))]
    dist.all_gather(counts, mine, group=group)
    return [int(count) for count in counts]


def gather_rows(x: Tensor, group: Group = None) -> Tensor:
    """Return the rows of all processes, in order of their ranks, (N_0 + N_1 + ..., ...).

    Processes may have different numbers of rows, none too; dtype and further sizes must be the
    same everywhere. Every process must call it.

    The gradient of a process's own rows is what its loss says of them, times the number of
    processes. That is right where each computes the same loss of all rows, as
    :class:`GlobalBatchLoss` does, and DistributedDataParallel then takes the mean of the gradients:
    nothing need be sent back.
    """
    if not is_distributed(group):
        return x
    rows: Tensor = _GatherRows.apply(x, group)
    return rows


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        counts = row_counts(len(x), group, x.device)
        ctx.first = sum(counts[: rank(group)])
        ctx.count = len(x)
        ctx.world_size = len(counts)
        padded = x.new_zeros(max(counts), *x.shape[1:])
        padded[: len(x)] = x
        pieces = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(pieces, padded, group=group)
        return torch.cat([piece[:count] for piece, count in zip(pieces, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0][ctx.first : ctx.first + ctx.count] * ctx.world_size, None


def all_to_all(pieces: list[Tensor], lengths: list[int], group: Group = None) -> Tensor:
    """Return the pieces that the processes send to this one, one under another, by their ranks.

    Args:
        pieces: For each process what it is to get, (n_r, ...).
        lengths: Rows that come from each process.
        group: Process group; None: the default one.
    """
    if not is_distributed(group):
        return pieces[0]
    sent = torch.cat(pieces)
    received = sent.new_empty(sum(lengths), *sent.shape[1:])
    splits = [len(piece) for piece in pieces]
    dist.all_to_all_single(received, sent, lengths, splits, group=group)
    return received


def sum_over_processes(x: Tensor, group: Group = None) -> Tensor:
    """Return the sum of ``x`` over the processes; so is its gradient."""
    if not is_distributed(group):
        return x
    total: Tensor = _Sum.apply(x, group)
    return total


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        ctx.group = group
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=ctx.group)
        return total, None
