"""Loads the compiled libraries, which register ``torch.ops.reid_ext.*`` as they load.

libreid_ext_cpu.so has every schema and the CPU kernels; nothing works without it.
libreid_ext_cuda.so adds the CUDA kernels; it is there when nvcc was, and loads beside a CUDA torch.
"""

import warnings
from pathlib import Path

import torch

_PACKAGE = Path(__file__).parents[1]
_BUILD = "run `pip install .` at the repository root, and Python in another folder"


def _load_cpu(library: Path) -> None:
    if not library.exists():
        raise ImportError(f"reid_ext: {library} is missing, so this copy was not built; {_BUILD}")
    try:
        torch.ops.load_library(library)
    except OSError as error:
        raise ImportError(
            f"reid_ext: {library} does not load beside torch {torch.__version__} "
            f"({error.__cause__ or error}); {_BUILD}"
        ) from error


def _load_cuda(library: Path, built: str) -> str:
    """Load the CUDA kernels where that can work; return what came of it, in words."""
    if not library.exists():
        return built  # "not built: <reason>"
    if torch.version.cuda is None:
        return f"not loaded: torch {torch.__version__} is a CPU build"
    try:
        torch.ops.load_library(library)
    except OSError as error:
        outcome = f"not loaded: {error.__cause__ or error}"
        warnings.warn(f"reid_ext: CUDA kernels {outcome}", stacklevel=2)
        return outcome
    return "loaded"


_load_cpu(_PACKAGE / "libreid_ext_cpu.so")

from reid_ext import _C  # noqa: E402  (after the error above, which says more than its own)

_cuda_ops = _load_cuda(_PACKAGE / "libreid_ext_cuda.so", _C.build_info()["cuda_ops"])


def version() -> str:
    """Of this copy."""
    return _C.build_info()["version"]


def build_info() -> dict[str, str]:
    """Say how this copy was built and what it found at run time.

    Returns:
        ``version`` of reid_ext; ``compiler``; ``torch`` it was built against; ``cuda_toolkit`` and
        ``cuda_architectures``, each ``"none"`` without CUDA kernels; ``cuda_ops``: ``"loaded"``, or
        ``"not built: …"`` or ``"not loaded: …"`` with the reason; ``cpu_capability``: the
        instruction set the CPU kernels use here (``x86-64-v4``, ``x86-64-v3`` or ``baseline``);
        ``cpu_product``: who multiplies float32 matrices on the CPU, ``torch`` (``torch.mm``) or
        ``onednn``.
    """
    product = torch.ops.reid_ext.cpu_product()
    return {**_C.build_info(), "cuda_ops": _cuda_ops, "cpu_product": product}
