"""Resources of a run: device, precision, reading processes and threads."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from reid_ext import distributed
from reid_ext.training.options import RunOptions
from reid_ext.training.precision import fastest_precision


def with_defaults(options: RunOptions) -> RunOptions:
    """Return the options with all values that depend on this machine filled in."""
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    name = f"{options.setup.short_name}-{options.loss}-{options.seed}"
    return replace(
        options,
        device=device,
        precision=options.precision or fastest_precision(device),
        workers=_default_workers(device) if options.workers is None else options.workers,
        out=options.out or Path("runs") / name,
    )


@contextmanager
def allocated(options: RunOptions) -> Iterator[RunOptions]:
    """Join the processes that torchrun started, and divide the cores of a CPU.

    Yields the options of this process, with all values filled in. On a CPU the network uses
    one thread for each core that the workers leave free, and at least one, because more threads
    would only busy-wait for each other. After the block, torch has as many threads as before.
    """
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    options = with_defaults(replace(options, device=distributed.join(device)))
    threads = torch.get_num_threads()
    if options.device == "cpu":
        torch.set_num_threads(max(1, _cores() - (options.workers or 0)))
    try:
        yield options
    finally:
        torch.set_num_threads(threads)


def cache_folder() -> Path:
    """Return the folder of synthetic datasets: $REID_EXT_CACHE, or reid_ext in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("REID_EXT_CACHE") or Path(base) / "reid_ext")


def _cores() -> int:
    return max(1, len(os.sched_getaffinity(0)) // distributed.local_processes())


def _default_workers(device: str) -> int:
    cores = _cores()
    return min(4, cores // 2) if device == "cpu" else max(1, min(8, cores - 1))
