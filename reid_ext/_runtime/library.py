"""Loads the compiled libraries, which register ``torch.ops.reid_ext.*``.

libreid_ext_cpu.so holds all schemas and the CPU kernels, and is required. libreid_ext_cuda.so adds
the CUDA kernels. It exists if the build found nvcc, and it needs a CUDA build of torch.
"""

import warnings
from pathlib import Path

import torch

_PACKAGE = Path(__file__).parents[1]
_BUILD = "run `pip install .` in the repository, then start Python outside it"


def _load_cpu(library: Path) -> None:
    if not library.exists():
        raise ImportError(
            f"reid_ext: {library} is missing because this copy was not built; {_BUILD}"
        )
    try:
        torch.ops.load_library(library)
    except OSError as error:
        raise ImportError(
            f"reid_ext: {library} cannot be loaded with torch {torch.__version__} "
            f"({error.__cause__ or error}); {_BUILD}"
        ) from error


def _load_cuda(library: Path, built: str) -> str:
    """Load the CUDA kernels if possible, and return the outcome for ``build_info``."""
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

from reid_ext import _C  # noqa: E402  (after _load_cpu, whose error explains more)

_cuda_ops = _load_cuda(_PACKAGE / "libreid_ext_cuda.so", _C.build_info()["cuda_ops"])


def version() -> str:
    """Return the version of this copy of reid_ext."""
    return _C.build_info()["version"]


def build_info() -> dict[str, str]:
    """Return how this copy was built and what it uses on this machine.

    Returns:
        A dictionary of strings:

        - ``version``: the version of reid_ext.
        - ``compiler``: the C++ compiler.
        - ``torch``: the version of torch that it was built against.
        - ``cuda_toolkit`` and ``cuda_architectures``: ``"none"`` if built without CUDA kernels.
        - ``cuda_ops``: ``"loaded"``, or ``"not built: …"`` or ``"not loaded: …"`` with the reason.
        - ``cpu_capability``: the instruction set that the CPU kernels use on this machine,
          ``x86-64-v4``, ``x86-64-v3`` or ``baseline``.

    Examples:
        >>> import reid_ext
        >>> info = reid_ext.build_info()
        >>> info["version"] == reid_ext.__version__
        True
        >>> info["cpu_capability"] in ("x86-64-v4", "x86-64-v3", "baseline")
        True
    """
    return {**_C.build_info(), "cuda_ops": _cuda_ops}
