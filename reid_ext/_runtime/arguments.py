"""Readers that validate the arguments of public functions and raise ArgumentError.

Each reader takes the name of the public function, the name of the argument and the value. It
returns the value in the form that internal code expects. Internal code does not check it again.
"""

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from reid_ext._runtime.argument_error import ArgumentError, described, suggestion
from reid_ext._runtime.arrays import shared

Array: TypeAlias = Tensor | np.ndarray | Sequence[Any]
Gallery: TypeAlias = Array | Iterable[Array]  # one matrix, or blocks of rows

T = TypeVar("T")

INT64_END = 2**63
_HALF = (torch.float16, torch.bfloat16)
_FLOATS = (torch.float32, torch.float64, *_HALF)
_FLOAT_NAMES = "float32, float64, bfloat16 or float16"


def choice(function: str, argument: str, value: Any, choices: Iterable[Any]) -> Any:
    """Read one of ``choices``, which are strings or integers."""
    allowed = tuple(choices)
    if type(value) is str and value in allowed:
        return value
    plain = isinstance(value, str | int | np.integer) and not isinstance(value, bool)
    if not plain or value not in allowed:
        names = ", ".join(map(repr, allowed))
        advice = suggestion(value, allowed)
        raise ArgumentError(function, argument, f"be one of {names}", described(value), advice)
    return value


def integer(
    function: str,
    argument: str,
    value: Any,
    least: int = -INT64_END,
    most: int = INT64_END - 1,
    what: str = "",
) -> int:
    """Read an integer from ``least`` to ``most``. ``what`` explains the upper limit."""
    if type(value) is int and least <= value <= most:
        return value
    if isinstance(value, torch.SymInt):  # the size of a traced tensor has no value yet
        return value  # type: ignore[return-value]
    whole = isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
    if whole and least <= int(value) <= most:
        return int(value)
    requirement = "be an integer" if least == -INT64_END else f"be an integer >= {least}"
    if most != INT64_END - 1:
        requirement += f" and at most {most}" + (f" ({what})" if what else "")
    elif whole and int(value) > most:
        requirement = "be an integer below 2**63"
    raise ArgumentError(function, argument, requirement, described(value))


def image_size(function: str, argument: str, value: Any) -> tuple[int, int]:
    """Read (height, width) in pixels."""
    if not isinstance(value, Sequence) or len(value) != 2 or isinstance(value, str):
        raise ArgumentError(function, argument, "be (height, width)", described(value))
    height, width = (integer(function, f"{argument}[{i}]", v, 1) for i, v in enumerate(value))
    return height, width


def number(
    function: str,
    argument: str,
    value: Any,
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Read a finite number from ``least`` to ``most``, above ``above`` and below ``below``."""
    given = value if type(value) is float else _as_float(value)
    in_range = least <= given <= most and above < given < below
    if in_range and -math.inf < given < math.inf:
        return given
    limits = [f">= {least:g}"] * (least > -math.inf) + [f"> {above:g}"] * (above > -math.inf)
    limits += [f"<= {most:g}"] * (most < math.inf) + [f"< {below:g}"] * (below < math.inf)
    requirement = " ".join(["be a finite number", " and ".join(limits)]).strip()
    raise ArgumentError(function, argument, requirement, described(value))


def _as_float(value: Any) -> float:
    """Return the value of a number or 0-d array or tensor, and NaN for anything else."""
    if isinstance(value, Tensor):
        known = value.ndim == 0 and not (value.requires_grad or value.is_meta)
        return _as_float(value.item()) if known else math.nan
    if isinstance(value, np.ndarray):
        return _as_float(value.item()) if value.ndim == 0 else math.nan
    if isinstance(value, Real | torch.SymFloat) and not isinstance(value, bool | np.bool_):
        return float(value)
    return math.nan


def flag(function: str, argument: str, value: Any) -> bool:
    """Read True or False."""
    if value is True or value is False or isinstance(value, np.bool_):
        return bool(value)
    raise ArgumentError(function, argument, "be True or False", described(value))


def instance(function: str, argument: str, value: Any, kind: type[T]) -> T:
    """Read an instance of the class ``kind``."""
    if isinstance(value, kind):
        return value
    raise ArgumentError(function, argument, f"be a {kind.__name__}", described(value))


def dense(function: str, argument: str, value: Any) -> Tensor:
    """Read a strided tensor: not sparse, nested or quantised."""
    if not isinstance(value, Tensor):
        raise ArgumentError(function, argument, "be a tensor", type(value).__name__)
    if value.layout == torch.strided and not (value.is_nested or value.is_quantized):
        return value
    kind = "nested" if value.is_nested else "quantized" if value.is_quantized else value.layout
    raise ArgumentError(function, argument, "be a dense tensor", f"a {kind} tensor")


def computed(function: str, argument: str, value: Tensor) -> Tensor:
    """Read a dense tensor, and convert float16 and bfloat16 to float32 for the kernels."""
    x = dense(function, argument, value)
    return x.float() if x.dtype in _HALF else x


def features(function: str, argument: str, value: Tensor, dim: int | None = None) -> Tensor:
    """Read features (N, D), differentiably, half types as float32. ``dim`` is the required D."""
    x = computed(function, argument, value)
    if x.ndim != 2 or x.shape[1] != (dim or x.shape[1]):
        requirement = f"have shape (N, {dim or 'D'})"
        raise ArgumentError(function, argument, requirement, str(tuple(x.shape)))
    if x.dtype not in _FLOATS:
        raise ArgumentError(function, argument, f"be {_FLOAT_NAMES}", str(x.dtype))
    return x


def labels(function: str, argument: str, values: Any, like: Tensor) -> Tensor:
    """Read integers as int64. A list or array goes to the device of ``like``.

    A tensor stays on its device. The kernels raise if this is not the device of the features.
    """
    if isinstance(values, Tensor):
        return integers(function, argument, values)
    return integers(function, argument, values, device=like.device)


def labels_of_rows(
    function: str, argument: str, values: Any, like_argument: str, like: Tensor
) -> Tensor:
    """Read contiguous int64 labels, one for each row of ``like`` and on its device."""
    y = labels(function, argument, values, like)
    if y.shape != like.shape[:1]:
        requirement = f"have shape ({len(like)},), one for each row of {like_argument}"
        raise ArgumentError(function, argument, requirement, str(tuple(y.shape)))
    if y.device != like.device:
        requirement = f"be on {like.device} like {like_argument}"
        raise ArgumentError(function, argument, requirement, str(y.device))
    return y.contiguous()


def within(
    function: str, argument: str, values: Tensor, end: int, requirement: str = "", advice: str = ""
) -> Tensor:
    """Check that integers are in [0, end).

    On a GPU and in a compiled graph the device checks the values, so nothing waits for it.
    """
    inside = (values >= 0) & (values < end)
    requirement = requirement or f"be in [0, {end})"
    if torch.compiler.is_compiling() or not values.is_cpu:
        torch._assert_async(inside.all(), f"{function}: {argument} must {requirement}")
    elif not bool(inside.all()):
        row = int((~inside).flatten().nonzero()[0])
        value = f"{int(values.flatten()[row])} in row {row}"
        raise ArgumentError(function, argument, requirement, value, advice)
    return values


def zero_or_one(function: str, argument: str, modalities: Tensor) -> Tensor:
    """Check that modalities are those that the losses know."""
    return within(function, argument, modalities, 2, "be 0 (visible) or 1 (infrared)")


def matrix(function: str, argument: str, values: Gallery, *, empty: bool = False) -> Tensor:
    """Read features or distances (N, D) without gradient. The memory of an array is shared.

    ``empty`` allows N = 0.
    """
    if isinstance(values, Tensor):
        x = dense(function, argument, values).detach()
        if x.is_meta:
            raise ArgumentError(function, argument, "be a tensor with values", "a meta tensor")
    else:
        array = _array(function, argument, values)
        if array.dtype not in (np.float32, np.float64, np.float16):
            raise ArgumentError(function, argument, f"be {_FLOAT_NAMES}", str(array.dtype))
        x = shared(array)
    if x.ndim != 2 or x.shape[1] == 0 or (len(x) == 0 and not empty):
        requirement = "have shape (N, D) with " + ("D >= 1" if empty else "N >= 1 and D >= 1")
        raise ArgumentError(function, argument, requirement, f"shape {tuple(x.shape)}")
    if x.dtype not in _FLOATS:
        raise ArgumentError(function, argument, f"be {_FLOAT_NAMES}", str(x.dtype))
    return x


def integers(
    function: str,
    argument: str,
    values: Any,
    length: int | None = None,
    like: str = "",
    device: torch.device | None = None,
) -> Tensor:
    """Read integers of any type as int64 and move them to ``device`` if it is given.

    ``length`` is the required length, one value for each row of the argument ``like``. If it is
    None, any shape is valid.
    """
    if torch.compiler.is_compiling() and not isinstance(values, Tensor):
        values = torch.as_tensor(values)  # a traced graph holds tensors only
    if isinstance(values, Tensor):
        x = dense(function, argument, values)
        if x.is_meta and device is not None and device.type != "meta":
            raise ArgumentError(function, argument, "be a tensor with values", "a meta tensor")
        if x.dtype != torch.int64:
            x = _as_int64(function, argument, x)
    else:
        array = _array(function, argument, values)
        if array.dtype.kind not in "iu" and array.size > 0:
            raise ArgumentError(function, argument, "be integers", str(array.dtype))
        if array.dtype == np.uint64 and array.size > 0 and array.max() >= INT64_END:
            raise ArgumentError(function, argument, "fit in int64", str(array.max()))
        x = torch.from_numpy(array.astype(np.int64))
    if length is not None and tuple(x.shape) != (length,):
        requirement = f"have shape ({length},), one for each row of {like}"
        raise ArgumentError(function, argument, requirement, str(tuple(x.shape)))
    return x if device is None else x.to(device)


def _as_int64(function: str, argument: str, x: Tensor) -> Tensor:
    if x.numel() > 0 and (x.is_floating_point() or x.is_complex() or x.dtype == torch.bool):
        advice = "take the labels from before the conversion, which rounded large ones"
        given = str(x.dtype), advice if x.dtype in _HALF else ""
        raise ArgumentError(function, argument, "be integers", *given)
    if x.dtype == torch.uint64 and bool((x.view(torch.int64) < 0).any()):
        raise ArgumentError(function, argument, "fit in int64", "uint64 values >= 2**63")
    return x.long()


def boolean_mask(
    function: str,
    argument: str,
    values: Any,
    sizes: tuple[int, int],
    what: str = "pair of query and gallery images",
) -> Tensor:
    """Read a boolean matrix of shape ``sizes``; ``what`` says what one value is for."""
    mask = values
    if not isinstance(values, Tensor | str | bytes) and (
        hasattr(values, "__array__") or isinstance(values, Sequence)
    ):
        array = _array(function, argument, values)
        mask = shared(array) if array.dtype == np.bool_ else array
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or tuple(mask.shape) != sizes:
        requirement = f"be bool of shape {sizes}, one value for each {what}"
        raise ArgumentError(function, argument, requirement, described(mask))
    if mask.is_meta:
        raise ArgumentError(function, argument, "be a mask with values", "a meta tensor")
    return dense(function, argument, mask)


def alike(function: str, argument: str, x: Tensor, like_argument: str, like: Tensor) -> None:
    """Raise unless two matrices (N, D) have the same feature dimension, dtype and device."""
    for of, got, want in (
        ("feature dimension", x.shape[1], like.shape[1]),
        ("dtype", x.dtype, like.dtype),
        ("device", x.device, like.device),
    ):
        if got != want:
            requirement = f"have {of} {want} like"
            raise ArgumentError(function, argument, requirement, str(got), like=like_argument)


def finite(function: str, argument: str, x: Tensor) -> Tensor:
    """Check that features contain no NaN and no infinity."""
    bad = ~torch.isfinite(x).all(1)
    if bool(bad.any()):
        value = f"NaN or infinity in row {int(bad.nonzero()[0])}"
        advice = "check the image of this row and the network that embedded it"
        raise ArgumentError(function, argument, "be finite", value, advice)
    return x


def _array(function: str, argument: str, values: Any) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray):
        advice = "pass its .filled() or .data"
        raise ArgumentError(function, argument, "be without a mask", "a masked array", advice)
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        requirement = "be convertible to a NumPy array"
        value = f"a {type(values).__name__} ({str(error)[:80]})"
        raise ArgumentError(function, argument, requirement, value) from error
