"""Functions for scripts that torchrun starts: joining the processes, and their coordination."""

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import distributed as dist
from torch import nn

from reid_ext._runtime import progress as _progress
from reid_ext.distributed.collectives import is_distributed, rank

TIMEOUT = timedelta(minutes=10)


def join(device: str, timeout: timedelta = TIMEOUT) -> str:
    """Join the processes that torchrun started, and return the device of this one.

    Only the first process keeps its standard output and its progress lines. Without torchrun, or
    with a single process, the function returns ``device`` and changes nothing.

    Args:
        device: ``"cpu"`` selects gloo. ``"cuda"`` selects NCCL and the device of the local rank.
        timeout: How long a process waits for the others before all stop. Default: 10 minutes.

    Returns:
        The device of this process, such as ``"cuda:1"``.

    Examples:
        >>> from reid_ext.distributed import join
        >>> join("cpu")
        'cpu'
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or is_distributed():
        return device
    if device.startswith("cuda"):
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    dist.init_process_group(backend, timeout=timeout, **_fresh_store(timeout))
    atexit.register(dist.destroy_process_group)
    if not is_main():
        _progress.silence()
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (until the process ends)
    return device


def _fresh_store(timeout: timedelta) -> dict[str, Any]:
    """Return arguments of init_process_group that give restarted processes a store of their own.

    torchrun keeps one store for all restarts, in which gloo and NCCL would find the addresses of
    the previous processes. Restarts are counted per machine. For several machines,
    docs/distributed.md describes the setting that torchrun needs instead.
    """
    environment = os.environ
    is_kept = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    is_one_machine = environment.get("LOCAL_WORLD_SIZE") == environment["WORLD_SIZE"]
    if not (restarted() and is_kept and is_one_machine):
        return {}
    address, port = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
    kept = dist.TCPStore(address, port, is_master=False, timeout=timeout)
    start = environment["TORCHELASTIC_RESTART_COUNT"]
    store = dist.PrefixStore(f"start {start}", kept)
    ranks = {name: int(environment[name.upper()]) for name in ("rank", "world_size")}
    return {"store": store, **ranks}


def restarted() -> bool:
    """Return whether torchrun restarted the processes after a failure (``--max-restarts``).

    Examples:
        >>> from reid_ext.distributed import restarted
        >>> restarted()
        False
    """
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


def is_main() -> bool:
    """Return whether this process is the first, which writes the files.

    Examples:
        >>> from reid_ext.distributed import is_main
        >>> is_main()
        True
    """
    return rank() == 0


def local_processes() -> int:
    """Return the number of processes that share the cores of this machine.

    Examples:
        >>> from reid_ext.distributed import local_processes
        >>> local_processes()
        1
    """
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if is_distributed() else 1


@contextmanager
def main_first() -> Iterator[None]:
    """Context manager: the first process runs the block, then the other processes run it.

    Use it to prepare files once that all processes read.

    Examples:
        >>> from reid_ext.distributed import main_first
        >>> with main_first():
        ...     print("prepare the cache")
        prepare the cache
    """
    if is_distributed() and not is_main():
        dist.barrier()
    yield
    if is_distributed() and is_main():
        dist.barrier()


def data_parallel(model: nn.Module) -> nn.Module:
    """Return the model in DistributedDataParallel, or the model itself in a single process.

    Args:
        model: The model, on the device of this process.

    Examples:
        >>> from torch import nn
        >>> from reid_ext.distributed import data_parallel
        >>> model = nn.Linear(2, 2)
        >>> data_parallel(model) is model
        True
    """
    if not is_distributed():
        return model
    return nn.parallel.DistributedDataParallel(model)
