"""What a script does that torchrun starts several times: join the others, and who speaks."""

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
    backend = "nccl" if device.startswith("cuda") else "gloo"
    dist.init_process_group(backend, timeout=timeout, **_fresh_store(timeout))
    atexit.register(dist.destroy_process_group)
    if not is_main():
        _progress.silence()
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (until the process ends)
    return device


def _fresh_store(timeout: timedelta) -> dict[str, Any]:
    """Where restarted processes leave their addresses, as arguments of init_process_group.

    torchrun keeps one store for all restarts, in which gloo and NCCL would find the addresses of
    the processes before. Starts are counted by machine: with several, docs/distributed.md has
    what torchrun needs instead.
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
