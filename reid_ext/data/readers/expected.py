"""Published counts of the datasets, which ``data.check`` compares with a copy on disk."""

from typing import NamedTuple


class Count(NamedTuple):
    """Numbers of identities and images of a split; None if not published."""

    identities: int | None
    images: int | None


class Expected(NamedTuple):
    """Counts of the splits as the reader returns them, including junk and distractors."""

    train: Count
    query: Count
    gallery: Count


UNKNOWN = Expected(*(Count(None, None),) * 3)
