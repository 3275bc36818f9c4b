"""Turns what users pass in (tensors, arrays, memory maps, lists) into tensors, or refuses it.

Every refusal is a ValueError `<function>: <argument> must <what>, got <what came>; <what to do>`.
"""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reid_ext._runtime.arguments import alike as check_alike

Array: TypeAlias = Tensor | np.ndarray | Sequence[Any]
Gallery: TypeAlias = Array | Iterable[Array]  # whole, or in blocks of rows

METRICS = ("cosine", "euclidean", "squared_euclidean")
_FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_ARRAY_FLOATS = (np.float32, np.float64, np.float16)
_ALLOWED = "float32, float64, bfloat16 or float16"


def read_features(where: str, query: Array, gallery: Gallery) -> tuple[Tensor, Tensor]:
    """Features (Q, D) and (G, D) of one dtype on one device, without gradient."""
    q, g = read_matrix(where, "query", query), read_matrix(where, "gallery", gallery)
    check_alike(where, "gallery", g, "query", q)
    return q, g


def rows_of(where: str, gallery: Gallery, gallery_ids: Array) -> int:
    """The rows of a gallery; of one in blocks as many as there are identities."""
    if isinstance(gallery, Tensor | np.ndarray):
        return len(gallery)
    return length_of(where, "gallery_ids", gallery_ids)


def length_of(where: str, name: str, labels: Any) -> int:
    """How many labels there are, of whatever kind."""
    array = labels if isinstance(labels, Tensor) else _array(where, name, labels)
    if array.ndim != 1:
        raise ValueError(
            f"{where}: {name} must be a list, array or tensor of integers, got {described(labels)}"
        )
    return len(array)


def read_distances(where: str, distances: Array, name: str = "distances") -> Tensor:
    """Distances (Q, G), smaller is closer, without gradient."""
    return read_matrix(where, name, distances)


def read_integers(
    where: str, name: str, values: Array, length: int, like: str, device: torch.device
) -> Tensor:
    """Identities, cameras or image numbers (length,) as int64 on the device."""
    if isinstance(values, Tensor):
        tensor = _dense(where, name, values)
        if tensor.dtype == torch.uint64 and bool((tensor.view(torch.int64) < 0).any()):
            raise ValueError(f"{where}: {name} must fit int64, got uint64 from 2**63 on")
        not_whole = tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool
    else:
        array = _array(where, name, values)
        not_whole = array.dtype.kind not in "iu" and array.size > 0
        too_large = array.dtype == np.uint64 and array.size > 0 and array.max() >= 2**63
        if too_large:
            raise ValueError(f"{where}: {name} must fit int64, got {array.max()}")
        tensor = torch.from_numpy(np.empty(0) if not_whole else array.astype(np.int64))
    if not_whole:
        got = values.dtype if isinstance(values, Tensor) else array.dtype
        raise ValueError(f"{where}: {name} must be integers, got {got}")
    if tuple(tensor.shape) != (length,):
        raise ValueError(
            f"{where}: {name} must have shape ({length},), one for each row of {like}, "
            f"got {tuple(tensor.shape)}"
        )
    return tensor.to(device, torch.int64)


def read_mask(where: str, name: str, values: Any, sizes: tuple[int, int]) -> Tensor:
    """Pairs (Q, G) as bool, on the device they come on."""
    mask = values
    if isinstance(values, Tensor):
        mask = _dense(where, name, values)
    elif hasattr(values, "__array__") or (
        isinstance(values, Sequence) and not isinstance(values, str | bytes)
    ):
        mask = _array(where, name, values)
    if isinstance(mask, np.ndarray) and mask.dtype == np.bool_:
        mask = _shared(mask)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or tuple(mask.shape) != sizes:
        raise ValueError(
            f"{where}: {name} must be, or return for its Pairs, bool of shape {sizes}, one for "
            f"each query and gallery image, got {described(mask)}"
        )
    return mask


def check_choice(where: str, name: str, value: object, choices: Sequence[object]) -> None:
    plain = isinstance(value, str | int | np.integer) and not isinstance(value, bool)
    if not plain or value not in choices:
        allowed = ", ".join(repr(c) for c in choices)
        raise ValueError(f"{where}: {name} must be one of {allowed}, got {described(value)}")


def check_at_least(where: str, name: str, value: int, least: int) -> int:
    """The value as Python's int, which does not wrap around; from ``least`` on and fits int64."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{where}: {name} must be an integer >= {least}, got {described(value)}")
    if value >= 2**63:
        raise ValueError(f"{where}: {name} must be an integer below 2**63, got {value}")
    return int(value)


def described(value: object) -> str:
    """A value in an error: itself if short, of what could be large only the kind."""
    if isinstance(value, Tensor | np.ndarray):
        return f"{value.dtype} {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:50]}..."


def read_matrix(where: str, name: str, values: Gallery) -> Tensor:
    """Features or distances, without gradient; the memory of an array is not copied."""
    if isinstance(values, Tensor):
        tensor = _dense(where, name, values)
    else:
        tensor = _wrapped(where, name, values)
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise ValueError(
            f"{where}: {name} must have 2 dimensions, none of them empty, "
            f"got shape {tuple(tensor.shape)}"
        )
    if tensor.dtype not in _FLOATS:
        raise ValueError(f"{where}: {name} must be {_ALLOWED}, got {tensor.dtype}")
    return tensor


def _wrapped(where: str, name: str, values: Gallery) -> Tensor:
    array = _array(where, name, values)
    if array.dtype not in _ARRAY_FLOATS:
        raise ValueError(f"{where}: {name} must be {_ALLOWED}, got {array.dtype}")
    return _shared(array)


def _shared(array: np.ndarray) -> Tensor:
    """The memory of an array as a tensor; a copy only where its strides are none of a tensor."""
    if any(stride < 0 or stride % array.itemsize for stride in array.strides):
        array = array.copy()
    with warnings.catch_warnings():  # a read-only memory map is fine: it is only read
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(array)


def _array(where: str, name: str, values: Gallery) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray):
        raise ValueError(
            f"{where}: {name} must be without a mask, got a masked array; call .filled() or .data"
        )
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{where}: {name} must be a regular array, got {error}") from error


def _dense(where: str, name: str, values: Tensor) -> Tensor:
    """The tensor without gradient, if it has a value in memory for each of its elements."""
    odd = values.is_nested or values.is_quantized or values.layout != torch.strided
    if odd or values.is_meta:
        kind = "nested" if values.is_nested else "meta" if values.is_meta else str(values.layout)
        kind = "quantized" if values.is_quantized else kind
        raise ValueError(f"{where}: {name} must be a dense tensor with values, got a {kind} one")
    return values.detach()
