"""Reads MATLAB files with SciPy, and names the file in errors."""

from pathlib import Path

import numpy as np

from reid_ext._runtime.arguments import ArgumentError


def read_mat(function: str, path: Path) -> dict[str, np.ndarray]:
    """Read the variables of a .mat file of version 5.

    Raises:
        ArgumentError: The file has another version, or is damaged.
        ImportError: SciPy is not installed.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        install = "install it with pip install 'reid_ext[mat]'"
        raise ImportError(f"{path} needs SciPy, which is not installed; {install}") from error
    try:
        content = loadmat(path)
    except MemoryError:
        raise
    except Exception as error:  # SciPy has no common class for errors of invalid content
        got = f"a file that SciPy cannot read ({str(error)[:80] or type(error).__name__})"
        want, advice = "be a .mat file of version 5", "copy it again, or save it in MATLAB as '-v7'"
        raise ArgumentError(function, str(path), want, got, advice) from None
    return {name: value for name, value in content.items() if not name.startswith("__")}
