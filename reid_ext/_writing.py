"""Where a result goes: what cannot be written is refused by the argument that named it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def writes(argument: str, path: Path) -> Iterator[None]:
    """An OSError of the block as one of ``argument``, not of the unfinished file beside ``path``.

    Its class and errno stay as they were.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        named = type(error)(
            f"{argument} must be a place that can be written, got {path}: {reason}; name another "
            "or mend that"
        )
        named.errno = error.errno
        raise named from error
