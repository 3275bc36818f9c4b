"""When a result was made, as its file says."""

import os
from datetime import datetime, timezone

from reid_ext._runtime.arguments import ArgumentError

VARIABLE = "SOURCE_DATE_EPOCH"


def creation_time(function: str) -> datetime:
    """Now, or the time of the environment variable SOURCE_DATE_EPOCH, for reproducible files."""
    given = os.environ.get(VARIABLE, "")
    try:
        if given:
            return datetime.fromtimestamp(int(given), timezone.utc)
    except (ValueError, OverflowError, OSError):
        advice = "unset it for the time of the call"
        got = f"{given!r:.60}"
        raise ArgumentError(function, VARIABLE, "be seconds since 1970", got, advice) from None
    return datetime.now().astimezone()
