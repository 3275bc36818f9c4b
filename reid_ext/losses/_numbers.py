"""What the losses take as numbers: Python's and NumPy's, no tensors."""

from numbers import Integral, Real

MOST = 2**31  # classes or dimensions


def is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def check_size(where: str, name: str, value: int) -> None:
    """ValueError unless it is a whole number from 1 to below 2**31."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not 1 <= value < MOST:
        raise ValueError(
            f"{where}: {name} must be at least 1, got {value!r:.60}; it is a whole "
            "number below 2**31"
        )
