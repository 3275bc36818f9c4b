"""What every op's Python face does alike with its arguments: dtypes, integers and choices."""

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

_HALF = (torch.float16, torch.bfloat16)


def computed(argument: str, x: Tensor) -> Tensor:
    """``x`` in the precision the kernels compute in: half types as float32.

    ``argument`` is what to call it in the error for anything but a tensor.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{argument} must be a tensor, got {type(x).__name__}")
    _check_dense(argument, x)
    return x.float() if x.dtype in _HALF else x


def integers(argument: str, t: Tensor, like: Tensor) -> Tensor:
    """``t`` as int64, from any integer type, or a list or array on the device of ``like``.

    ``argument`` is what to call it in the error.
    """
    if not isinstance(t, Tensor):
        try:
            t = torch.as_tensor(_of_torch(t), device=like.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(
                f"{argument} must be a tensor or a list of integers, got {type(t).__name__} "
                f"({error})"
            ) from None
    _check_dense(argument, t)
    if t.dtype == torch.int64:
        return t
    real = t.is_floating_point() or t.is_complex() or t.dtype == torch.bool
    if real and t.numel() > 0:  # an empty list becomes a float tensor
        raise RuntimeError(f"{argument} must hold integers, got {t.dtype}; call .long() on it")
    return t.long()


def number(argument: str, value: Any) -> float:
    """``value`` as Python's float, from any one real number."""
    if isinstance(value, Real) or (isinstance(value, Tensor | np.ndarray) and value.ndim == 0):
        return float(value)
    raise TypeError(f"{argument} must be a number, got {value!r:.60}")


def flag(argument: str, value: Any) -> bool:
    """``value`` as Python's bool, from that or NumPy's."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise TypeError(f"{argument} must be True or False, got {value!r:.60}")


def check_alike(where: str, name: str, x: Tensor, like_name: str, like: Tensor) -> None:
    """ValueError unless two matrices (N, D) are of one feature length, dtype and device."""
    for of, got, want in (
        ("feature length", x.shape[1], like.shape[1]),
        ("dtype", x.dtype, like.dtype),
        ("device", x.device, like.device),
    ):
        if got != want:
            raise ValueError(f"{where}: {name} must have {of} {want} like {like_name}, got {got}")


def _check_dense(argument: str, t: Tensor) -> None:
    if t.layout != torch.strided:
        raise TypeError(f"{argument} must be a dense tensor, got one of {t.layout}")


def _of_torch(values: Any) -> Any:
    """An array of integers in a form that torch takes, whatever its byte order and strides."""
    if not hasattr(values, "__array__"):
        return values
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError("with a mask; call .filled() or .data")
    array = np.asarray(values)
    return array.astype(np.int64) if array.dtype.kind in "iu" else array


def fake(op: str) -> Callable[[Callable], Callable]:
    """Register what stands for the op where tensors have no values: it makes the shapes alone.

    Torch takes it for a single meta tensor among others too, whose results nothing would fill.
    """
    names = [a.name for a in getattr(torch.ops.reid_ext, op).default._schema.arguments]

    def register(shapes: Callable) -> Callable:
        def checked(*arguments: Any) -> Any:
            given = {n: a for n, a in zip(names, arguments, strict=False) if isinstance(a, Tensor)}
            first, like = next(iter(given.items()))
            for name, t in given.items():
                if t.is_meta != like.is_meta:
                    raise RuntimeError(
                        f"{op}: {name} must be on {like.device} like {first}, got {t.device}"
                    )
            return shapes(*arguments)

        return torch.library.register_fake(f"reid_ext::{op}")(checked)

    return register


METRICS = ("cosine", "euclidean", "squared_euclidean")


def code_of(argument: str, value: str, names: tuple[str, ...]) -> int:
    """The number by which the schema knows one of ``names``."""
    if not isinstance(value, str) or value not in names:
        raise RuntimeError(f"{argument} must be one of {', '.join(names)}, got {value!r:.60}")
    return names.index(value)
