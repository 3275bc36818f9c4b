"""Reads identities, cameras and other labels as int64, if nothing is lost by it."""

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reid_ext._runtime import arguments
from reid_ext._runtime.arguments import ArgumentError
from reid_ext._runtime.arrays import shared
from reid_ext._runtime.labels import JUNK, JUNK_WORDS, whole_number

NAMED = 1 << 62  # labels that are words get numbers from here on
EXACT = {torch.float32: 1 << 24, torch.float64: 1 << 53}  # whole numbers below are exact


def read_labels(function: str, argument: str, values: Any, *, words: bool) -> Tensor:
    """Return labels as an int64 tensor.

    Integers of any type, whole numbers as float32 or float64, and text are converted; a column
    (N, 1) becomes (N,). Text that spells a whole number becomes that number, a word for junk
    becomes -1, and any other word becomes a number from 2**62 on that is the same in every set.
    Text is converted only if ``words`` is True.

    Raises:
        ArgumentError: fractions, NaN, half precision, two spellings of one number, or the largest
            value of an unsigned type, which is how -1 (junk) looks in it.
    """
    if isinstance(values, Tensor):
        arguments.dense(function, argument, values)
        if values.is_meta:
            raise ArgumentError(function, argument, "be a tensor with values", "a meta tensor")
    x = values if isinstance(values, Tensor) else _array(values)
    if getattr(x, "ndim", 0) == 2 and x.shape[1] == 1:
        x = x[:, 0]
    if words and isinstance(x, np.ndarray) and x.dtype.kind in "USO" and x.size > 0:
        return _of_text(function, argument, x)
    _check_unsigned(function, argument, x)
    if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.dtype.itemsize in (4, 8):
        x = shared(x.astype(x.dtype.newbyteorder("=")))
    if isinstance(x, Tensor) and x.dtype in EXACT and x.numel() > 0:
        return _of_floats(function, argument, x)
    return arguments.integers(function, argument, x)


def _array(values: Any) -> Any:
    """Lists, tables and other sequences as an array; anything odd stays for the usual error."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError):
        return values
    if array.dtype == object and not all(isinstance(v, str) for v in array.reshape(-1)):
        return values
    return values if isinstance(values, np.ma.MaskedArray) else array


def _of_floats(function: str, argument: str, x: Tensor) -> Tensor:
    limit = EXACT[x.dtype]
    wrong = ~(x == x.round()) | (x.abs() >= limit)  # NaN is not equal to itself
    if bool(wrong.any()):
        row = int(wrong.reshape(-1).nonzero()[0])
        got = f"{x.reshape(-1)[row].item():g} in row {row}"
        raise ArgumentError(function, argument, f"be integers, or whole numbers below {limit}", got)
    return x.long()


def _check_unsigned(function: str, argument: str, x: Any) -> None:
    kind = str(x.dtype).removeprefix("torch.") if hasattr(x, "dtype") else ""
    if not kind.startswith("uint") or kind == "uint64" or len(x.reshape(-1)) == 0:
        return
    largest = 2 ** int(kind.removeprefix("uint")) - 1
    wide = x.long() if isinstance(x, Tensor) else x
    if int(wide.max()) == largest:
        requirement = f"not hold {largest}, which is how -1 (junk) looks in {kind}"
        raise ArgumentError(function, argument, requirement, str(largest), "convert to int64 first")


def _of_text(function: str, argument: str, x: np.ndarray) -> Tensor:
    unique, inverse = np.unique(_decoded(x).reshape(-1), return_inverse=True)
    numbers: list[int] = []
    spelled: dict[int, str] = {}
    for label in unique.tolist():
        number = whole_number(label.strip())
        if number is not None and label.strip() != spelled.setdefault(number, label.strip()):
            requirement = "spell each number in one way"
            got = f"{spelled[number]!r} and {label.strip()!r}"
            raise ArgumentError(function, argument, requirement, got, "pass integers, or words")
        numbers.append(_of_word(label) if number is None else number)
    return torch.tensor(numbers, dtype=torch.int64, device="cpu")[inverse].reshape(x.shape)


def _decoded(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind == "S":
        return np.char.decode(x, "utf-8", "replace")
    return x.astype(str) if x.dtype == object else x


def _of_word(label: str) -> int:
    """-1 for junk, otherwise a number that depends on the word alone."""
    if label.strip().lower() in JUNK_WORDS:
        return JUNK
    digest = hashlib.blake2b(label.encode(), digest_size=8).digest()
    return NAMED | (int.from_bytes(digest, "little") & (NAMED - 1))
