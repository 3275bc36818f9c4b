"""What a complete copy of a dataset holds, as its authors publish it; ``data.check`` compares."""

from typing import NamedTuple


class Count(NamedTuple):
    """Identities and images of a split; None where no source says."""

    identities: int | None
    images: int | None


class Expected(NamedTuple):
    """The counts of the splits as the reader returns them, junk and distractors included."""

    train: Count
    query: Count
    gallery: Count


UNKNOWN = Expected(*(Count(None, None),) * 3)
