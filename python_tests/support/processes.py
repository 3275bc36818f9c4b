"""Runs a function in several processes with a gloo group, for the tests of reid_ext.distributed."""

import importlib.util
from pathlib import Path

import torch
from torch import distributed as dist
from torch import multiprocessing


def _child(rank, file, name, world_size, folder, arguments):
    torch.set_num_threads(1)
    spec = importlib.util.spec_from_file_location(
        "functions", file
    )  # the file need not be in a package
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world_size
    )
    try:
        torch.save(getattr(module, name)(rank, *arguments), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def run(function, world_size, folder, *arguments):
    """Run ``function(rank, *arguments)`` in each process and return the results.

    The results may be tensors, numbers and strings. The function must be at the top level of its
    file, because every process loads that file.
    """
    file = function.__code__.co_filename
    multiprocessing.spawn(
        _child,
        (file, function.__name__, world_size, str(folder), arguments),
        nprocs=world_size,
    )
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world_size)]
