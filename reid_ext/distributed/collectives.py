"""Rows of all processes concatenated, and sums over processes, with their gradients."""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

Group = Any  # dist.ProcessGroup, or None for the default one


def is_distributed(group: Group = None) -> bool:
    """Return whether there is a process group with more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size(group) > 1


def world_size(group: Group = None) -> int:
    """Return the number of processes; 1 without a process group.

    Args:
        group: Process group. Default: None, the default group.

    Examples:
        >>> from reid_ext.distributed import world_size
        >>> world_size()
        1
    """
    return dist.get_world_size(group) if is_distributed(group) else 1


def rank(group: Group = None) -> int:
    """Return the index of this process, starting at 0; 0 without a process group.

    Args:
        group: Process group. Default: None, the default group.

    Examples:
        >>> from reid_ext.distributed import rank
        >>> rank()
        0
    """
    return dist.get_rank(group) if is_distributed(group) else 0


def row_counts(rows: int, group: Group, device: torch.device) -> list[int]:
    """Return the number of rows of each process."""
    mine = torch.tensor([rows], device=device)
    counts = [torch.empty_like(mine) for _ in range(world_size(group))]
    dist.all_gather(counts, mine, group=group)
    return [int(count) for count in counts]


def gather_rows(x: Tensor, group: Group = None) -> Tensor:
    """Return the rows of all processes, concatenated in the order of their ranks.

    Every process must call this function. The number of rows may differ between processes and may
    be 0. The dtype and all other dimensions must be the same in every process.

    The gradient of a process's own rows is the gradient of its own loss, times the number of
    processes. This is correct if every process computes the same loss of all rows, as
    :class:`GlobalBatchLoss` does, and DistributedDataParallel averages the gradients afterwards.
    The backward pass then needs no communication.

    Args:
        x: Rows of this process, shape (N_r, ...).
        group: Process group. Default: None, the default group.

    Returns:
        Tensor of shape (N_0 + N_1 + ..., ...).

    Examples:
        >>> import torch
        >>> from reid_ext.distributed import gather_rows
        >>> gather_rows(torch.tensor([[1.0], [2.0]])).tolist()  # one process: the rows themselves
        [[1.0], [2.0]]
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
    """Return the pieces that all processes send to this one, concatenated in order of rank.

    Args:
        pieces: The piece for each process, shape (n_r, ...).
        lengths: Number of rows that each process sends to this one.
        group: Process group. Default: None, the default group.
    """
    if not is_distributed(group):
        return pieces[0]
    sent = torch.cat(pieces)
    received = sent.new_empty(sum(lengths), *sent.shape[1:])
    splits = [len(piece) for piece in pieces]
    dist.all_to_all_single(received, sent, lengths, splits, group=group)
    return received


def sum_over_processes(x: Tensor, group: Group = None) -> Tensor:
    """Return the sum of ``x`` over the processes. Its gradient is summed in the same way."""
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
