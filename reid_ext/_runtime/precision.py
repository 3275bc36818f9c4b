"""The argument ``compute`` of an evaluation: its valid values and the precision each sets."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from reid_ext._runtime import arguments
from reid_ext._runtime.arguments import ArgumentError

COMPUTES = ("exact", "bf16", "tf32")


class _Setting:
    """Torch's precision on GPUs, which is global: threads that need another precision wait."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.users, self.precision = 0, ""
        self.before: list[str] = []

    @contextmanager
    def __call__(self, precision: str) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: self.users == 0 or self.precision == precision)
            if self.users == 0:
                self.before, self.precision = self._get(), precision
                self._set([precision, "ieee"])
            self.users += 1
        try:
            yield
        finally:
            with self.changed:
                self.users -= 1
                if self.users == 0:
                    self._set(self.before)
                    self.changed.notify_all()

    def _backends(self) -> list[Any]:
        onednn: Any = torch.backends.mkldnn
        return [torch.backends.cuda.matmul, onednn.matmul]

    def _get(self) -> list[str]:
        return [backend.fp32_precision for backend in self._backends()]

    def _set(self, precisions: list[str]) -> None:
        for backend, precision in zip(self._backends(), precisions, strict=True):
            backend.fp32_precision = precision


_shared = _Setting()


def precision(compute: str) -> AbstractContextManager[None]:
    """Return a context that sets torch's precision of float32 products and restores it."""
    return _shared("ieee" if compute == "exact" else "tf32")


def op_compute(compute: str) -> str:
    """Return the ops' name for ``compute``. TF32 is a setting of torch and not of the ops."""
    return "approximate" if compute == "bf16" else "exact"


def check_compute(function: str, compute: str, query: Tensor) -> None:
    """Raise ArgumentError unless features like ``query`` can be compared by ``compute``."""
    arguments.choice(function, "compute", compute, COMPUTES)
    if compute == "exact":
        return
    if query.dtype == torch.float64:
        requirement = "be 'exact' for float64 features"
        advice = "call .float() on the features for an approximation"
        raise ArgumentError(function, "compute", requirement, repr(compute), advice)
    if compute == "tf32" and query.device.type == "cpu":
        requirement, advice = "be 'exact' or 'bf16' on the CPU", "only GPUs have TF32"
        raise ArgumentError(function, "compute", requirement, repr(compute), advice)
