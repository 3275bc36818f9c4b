"""What the losses take as numbers, Python's and NumPy's but no tensors, and as choices."""

import math
from collections.abc import Iterable
from numbers import Integral, Real

MOST = 2**31  # classes or dimensions


def is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def check_numbers(where: str, **numbers: float) -> None:
    """ValueError unless each is a finite number."""
    for name, value in numbers.items():
        if not (is_number(value) and math.isfinite(value)):
            raise ValueError(f"{where}: {name} must be a finite number, got {value!r:.60}")


def check_choice(where: str, name: str, value: str, choices: Iterable[str]) -> None:
    """ValueError unless it is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{where}: {name} must be one of {', '.join(choices)}, got {value!r:.60}")


def check_size(where: str, name: str, value: int) -> None:
    """ValueError unless it is a whole number from 1 to below 2**31."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not 1 <= value < MOST:
        raise ValueError(
            f"{where}: {name} must be at least 1, got {value!r:.60}; it is a whole "
            "number below 2**31"
        )
