"""Runs a function in several processes with a gloo group, for the tests of reid_ext.distributed."""

import os
from pathlib import Path

import torch
from torch import distributed as dist
from torch import multiprocessing

TIMEOUT = 120


def _child(rank, function, world_size, folder, arguments):
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world_size
    )
    try:
        torch.save(function(rank, *arguments), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def run(function, world_size, folder, *arguments):
    """What ``function(rank, *arguments)`` returns in each process: tensors, numbers, strings."""
    folder.mkdir(parents=True, exist_ok=True)
    multiprocessing.spawn(_child, (function, world_size, str(folder), arguments), nprocs=world_size)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world_size)]
