"""What a script does that torchrun starts several times: join the others, and who speaks."""

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed as dist
from torch import nn

from reid_ext import _progress
from reid_ext.distributed.collectives import is_distributed, rank

TIMEOUT = timedelta(minutes=10)


def join(device: str, timeout: timedelta = TIMEOUT) -> str:
    """Join the processes that torchrun started, and return the device of this one.

    Only the first keeps its standard output and its progress lines. Without torchrun, or alone,
    nothing happens.

    Args:
        device: ``"cpu"``: gloo. ``"cuda"``: NCCL, and the device of the local rank.
        timeout: How long a process may be behind the others before all stop.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or is_distributed():
        return device
    if device.startswith("cuda"):
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=timeout)
    atexit.register(dist.destroy_process_group)
    if not is_main():
        _progress.silence()
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (until the process ends)
    return device


def restarted() -> bool:
    """Whether torchrun started the processes anew, because one failed (``--max-restarts``)."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


def is_main() -> bool:
    """Whether this process is the first, which writes the files."""
    return rank() == 0


def local_processes() -> int:
    """How many of the processes share this machine's cores."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if is_distributed() else 1


@contextmanager
def main_first() -> Iterator[None]:
    """The block is run by the first process, and then by the others."""
    if is_distributed() and not is_main():
        dist.barrier()
    yield
    if is_distributed() and is_main():
        dist.barrier()


def data_parallel(model: nn.Module) -> nn.Module:
    """The model in DistributedDataParallel; alone, the model."""
    if not is_distributed():
        return model
    return nn.parallel.DistributedDataParallel(model)
