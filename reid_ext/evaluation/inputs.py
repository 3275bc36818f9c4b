"""Turns what users pass in (tensors, arrays, memory maps, lists) into tensors, or refuses it.

Every refusal is a ValueError `<function>: <argument> must <what>, got <what came>; <what to do>`.
"""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

Array: TypeAlias = Tensor | np.ndarray | Sequence[Any]
Gallery: TypeAlias = Array | Iterable[Array]  # whole, or in blocks of rows

METRICS = ("cosine", "euclidean", "squared_euclidean")
_FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_ARRAY_FLOATS = (np.float32, np.float64, np.float16)
_ALLOWED = "float32, float64, bfloat16 or float16"


def read_features(where: str, query: Array, gallery: Gallery) -> tuple[Tensor, Tensor]:
    """Features (Q, D) and (G, D) of one dtype on one device, without gradient."""
    q, g = read_matrix(where, "query", query), read_matrix(where, "gallery", gallery)
    for of, mine, other in (
        ("feature length", g.shape[1], q.shape[1]),
        ("dtype", g.dtype, q.dtype),
        ("device", g.device, q.device),
    ):
        if mine != other:
            raise ValueError(f"{where}: gallery must have {of} {other} like query, got {mine}")
    return q, g


def rows_of(where: str, gallery: Gallery, gallery_ids: Array) -> int:
    """The rows of a gallery; of one in blocks as many as there are identities."""
    rows = gallery if isinstance(gallery, Tensor | np.ndarray) else gallery_ids
    try:
        return len(rows)
    except TypeError as error:
        raise ValueError(
            f"{where}: gallery_ids must be a list, array or tensor of integers, got {gallery_ids!r}"
        ) from error


def read_distances(where: str, distances: Array, name: str = "distances") -> Tensor:
    """Distances (Q, G), smaller is closer, without gradient."""
    return read_matrix(where, name, distances)


def read_integers(
    where: str, name: str, values: Array, length: int, like: str, device: torch.device
) -> Tensor:
    """Identities, cameras or image numbers (length,) as int64 on the device."""
    if isinstance(values, Tensor):
        tensor = values.detach()
        not_whole = tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool
    else:
        array = _array(where, name, values)
        not_whole = array.dtype.kind not in "iu" and array.size > 0
        too_large = array.dtype == np.uint64 and array.size > 0 and array.max() >= 2**63
        if too_large:
            raise ValueError(f"{where}: {name} must fit int64, got {array.max()}")
        tensor = torch.empty(0) if not_whole else torch.from_numpy(array.astype(np.int64))
    if not_whole:
        got = values.dtype if isinstance(values, Tensor) else array.dtype
        raise ValueError(f"{where}: {name} must be integers, got {got}")
    if tuple(tensor.shape) != (length,):
        raise ValueError(
            f"{where}: {name} must have shape ({length},), one for each row of {like}, "
            f"got {tuple(tensor.shape)}"
        )
    return tensor.to(device, torch.int64)


def check_choice(where: str, name: str, value: object, choices: Sequence[object]) -> None:
    if value not in choices:
        allowed = ", ".join(repr(c) for c in choices)
        raise ValueError(f"{where}: {name} must be one of {allowed}, got {value!r}")


def check_at_least(where: str, name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{where}: {name} must be an integer >= {least}, got {value!r}")


def read_matrix(where: str, name: str, values: Gallery) -> Tensor:
    """Features or distances, without gradient; the memory of an array is not copied."""
    tensor = values.detach() if isinstance(values, Tensor) else _wrapped(where, name, values)
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise ValueError(
            f"{where}: {name} must have 2 dimensions, none of them empty, "
            f"got shape {tuple(tensor.shape)}"
        )
    if tensor.dtype not in _FLOATS:
        raise ValueError(f"{where}: {name} must be {_ALLOWED}, got {tensor.dtype}")
    return tensor


def _wrapped(where: str, name: str, values: Gallery) -> Tensor:
    """The memory of an array as a tensor; a copy only of what has negative strides."""
    array = _array(where, name, values)
    if array.dtype not in _ARRAY_FLOATS:
        raise ValueError(f"{where}: {name} must be {_ALLOWED}, got {array.dtype}")
    if any(stride < 0 for stride in array.strides):
        array = array.copy()
    with warnings.catch_warnings():  # a read-only memory map is fine: it is only read
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(array)


def _array(where: str, name: str, values: Gallery) -> np.ndarray:
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {name} must be a regular array, got {error}") from error
