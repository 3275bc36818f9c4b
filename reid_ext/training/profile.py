"""The profile of a training: a trace of ten iterations, and a table of the slowest operators."""

from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import profiler

SKIPPED = 10  # iterations while workers start, memory is allocated and kernels are chosen
TRACED = 10
ROWS = 15


class Profile:
    """Traces ten iterations to a file and prints a table of the slowest operators.

    Args:
        file: JSON file for chrome://tracing or Perfetto, written when the trace is complete. None:
            no trace and no table.
        device: Device of the network.
    """

    def __init__(self, file: str | Path | None, device: torch.device):
        self._profiler: Any = None
        if file is None:
            return
        self._file, self._device = Path(file), device
        activities = [profiler.ProfilerActivity.CPU]
        if device.type == "cuda":
            activities.append(profiler.ProfilerActivity.CUDA)
        self._profiler = profiler.profile(
            activities=activities,
            schedule=profiler.schedule(wait=SKIPPED, warmup=1, active=TRACED),
            on_trace_ready=self._write,
        )

    def __enter__(self) -> "Profile":
        if self._profiler is not None:
            self._profiler.__enter__()
        return self

    def step(self) -> None:
        """Count one iteration."""
        if self._profiler is not None:
            self._profiler.step()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._profiler is not None:
            self._profiler.__exit__(kind, error, traceback)

    def _write(self, trace: Any) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        trace.export_chrome_trace(str(self._file))
        by = f"self_{self._device.type}_time_total"
        print(trace.key_averages().table(sort_by=by, row_limit=ROWS))
        print(f"trace of {TRACED} iterations: {self._file}", flush=True)
