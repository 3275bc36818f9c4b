"""Tensors that share the memory of NumPy arrays."""

import warnings

import numpy as np
import torch
from torch import Tensor


def shared(array: np.ndarray) -> Tensor:
    """Return a tensor that shares the array's memory, or a copy if torch lacks such strides."""
    if any(stride < 0 or stride % array.itemsize for stride in array.strides):
        array = array.copy()
    with warnings.catch_warnings():  # read-only memory maps are fine here: nothing writes
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(array)
