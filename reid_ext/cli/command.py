"""What a command gives back, and the errors that mean wrong use."""

from collections.abc import Iterable
from typing import Any, NamedTuple


class Result(NamedTuple):
    """What to print, as lines or as JSON, and whether all is well."""

    lines: Iterable[str]
    facts: dict[str, Any]
    ok: bool = True


class WrongUse(ValueError):
    """An argument that argparse lets through and no data can make right."""
