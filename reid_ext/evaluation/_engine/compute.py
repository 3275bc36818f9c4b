"""In which precision the products behind an evaluation are made, and what that promises."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from reid_ext import ops
from reid_ext._runtime.arguments import choice as check_choice

COMPUTES = ("exact", "bf16", "tf32")


class Products(NamedTuple):
    """How to multiply: what :func:`reid_ext.ops.count_before` takes, and torch's own setting."""

    estimate: str = "full"
    in_blocks: bool = False  # even a gallery that fits
    rounded: bool = False  # features to bfloat16 first
    precision: str = "ieee"

    def features(self, x: Tensor) -> Tensor:
        return x.bfloat16() if self.rounded else x

    def setting(self) -> AbstractContextManager[None]:
        """Torch's precision of float32 products, which a user may have lowered, for a while."""
        return _shared(self.precision)


class _Setting:
    """Torch's precision on GPUs, one for all threads: those that want one share it, others wait."""

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


def products(where: str, compute: str, query: Tensor) -> Products:
    """The products that ``compute`` asks for, of features like ``query``.

    Raises:
        ValueError: ``compute`` is none of COMPUTES, or not there for this device or dtype.
    """
    check_choice(where, "compute", compute, COMPUTES)
    is_double, on_cpu = query.dtype == torch.float64, query.device.type == "cpu"
    if compute == "exact":
        if on_cpu and not is_double and ops.cpu_has_bfloat16():
            return Products("bfloat16", in_blocks=True)
        return Products()
    if is_double:
        raise ValueError(
            f"{where}: compute must be 'exact' for float64 features, got {compute!r}; call "
            ".float() on them for an approximation"
        )
    if compute == "tf32" and on_cpu:
        raise ValueError(
            f"{where}: compute must be 'exact' or 'bf16' on the CPU, got 'tf32', which only GPUs "
            "have"
        )
    if on_cpu:
        return Products("bfloat16_only", in_blocks=True)
    return Products(rounded=compute == "bf16", precision="tf32")


def check_compute(function: str, compute: str, query: Tensor) -> None:
    products(function, compute, query)


def precision(compute: str) -> AbstractContextManager[None]:
    return _shared("tf32" if compute != "exact" else "ieee")
