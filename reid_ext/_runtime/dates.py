"""The creation time that result files record."""

import os
from datetime import datetime, timezone

from reid_ext._runtime.arguments import ArgumentError

VARIABLE = "SOURCE_DATE_EPOCH"


def creation_time(function: str) -> datetime:
    """Return the current time, or SOURCE_DATE_EPOCH if it is set, for reproducible files."""
    given = os.environ.get(VARIABLE, "")
    try:
        if given:
            return datetime.fromtimestamp(int(given), timezone.utc)
    except (ValueError, OverflowError, OSError):
        advice = "unset this environment variable or set it to an integer"
        got = f"{given!r:.60}"
        raise ArgumentError(function, VARIABLE, "be the seconds since 1970", got, advice) from None
    return datetime.now().astimezone()
