"""Loads the CUDA kernels on an emulated device, in the same process as the CPU kernels.

``REID_EXT_EMULATED`` is the path of the library, which CMake builds with ``-DREID_EXT_EMULATE=ON``.
Its ops are ``torch.ops.reid_ext_emulated.*``. They run the code of a GPU on CPU tensors. As a
plugin (``pytest -p emulated``) this module replaces the CPU kernels by them in all tests.
"""

import ctypes
import functools
import os
import re
from pathlib import Path

import torch

import reid_ext  # noqa: F401  (registers the schemas)

FORWARD, BACKWARD, RANDOM = 0, 1, 2  # order of the threads of a block
CSRC = Path(__file__).parents[2] / "csrc"
NAME = "reid_ext_emulated"
LIBRARY = os.environ.get("REID_EXT_EMULATED")


def sources():
    """The text of every CUDA source by its path in csrc."""
    return {str(p.relative_to(CSRC)): p.read_text() for p in sorted(CSRC.rglob("*.cu*"))}


def kernels_in_sources():
    return {
        f"{path}:{name}"
        for path, text in sources().items()
        for name in re.findall(r"__global__ void (\w+)", text)
    }


def ops_in_sources():
    return sorted(op for text in sources().values() for op in re.findall(r'm\.impl\("(\w+)"', text))


class Device:
    def __init__(self, library):
        torch.ops.load_library(library)
        self._library = ctypes.CDLL(library)
        self._library.emulated_kernels.restype = ctypes.c_char_p
        self._library.emulated_set.argtypes = [ctypes.c_int, ctypes.c_int64]
        self._schemas = torch.library.Library(NAME, "DEF")
        for op in ops_in_sources():
            schema = str(getattr(torch.ops.reid_ext, op).default._schema)
            self._schemas.define(schema.partition("::")[2])

    def set(self, order=FORWARD, most_blocks=2**31 - 1):
        """Choose the order of the threads of a block, and the largest grid of ``grid_for``."""
        self._library.emulated_set(order, most_blocks)

    def kernels(self):
        """The names of the kernels that have run."""
        return set(self._library.emulated_kernels().decode().split())

    def replace_cpu_kernels(self):
        self._instead = torch.library.Library("reid_ext", "IMPL", "CPU")
        for op in ops_in_sources():
            kernel = getattr(getattr(torch.ops, NAME), op).default
            self._instead.impl(op, kernel, allow_override=True)


@functools.cache
def device():
    """The only device, because schemas can be registered once."""
    return Device(LIBRARY)


def pytest_configure():
    device().replace_cpu_kernels()
    device().set(int(os.environ.get("REID_EXT_EMULATED_ORDER", FORWARD)))
