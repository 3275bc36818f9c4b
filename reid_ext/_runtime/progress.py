"""Progress on stderr: a bar that is redrawn in a terminal, or a first and last line elsewhere."""

import io
import sys
import time
from types import TracebackType
from typing import TextIO

BAR_WIDTH = 24
_silent = False


def silence() -> None:
    """Show no progress from now on, because another process shows it."""
    global _silent
    _silent = True


SECONDS_BETWEEN_DRAWS = 0.1


class Progress:
    """Counts the items that are done and shows their rate and the remaining time.

        with Progress(len(jobs), "render") as progress:
            for job in jobs:
                ...
                progress.update(1)

    Args:
        total: Number of items, 0 or more.
        label: Name of the task, at the start of the line.
        unit: Plural noun for the items.
        stream: Text stream to write to. Default: None (stderr).
    """

    def __init__(
        self, total: int, label: str, *, unit: str = "images", stream: TextIO | None = None
    ):
        self.total = total
        self.label = label
        self.unit = unit
        self.done = 0
        self.note = ""
        self._stream = io.StringIO() if _silent else stream or sys.stderr
        self._redraws = self._stream.isatty()
        self._last_length = 0
        self._last_draw = 0.0
        self._start = time.monotonic()

    def __enter__(self) -> "Progress":
        self._start = time.monotonic()
        if self._redraws:
            self._draw(self._running())
        else:
            self._print(f"{self.label}: {self.total} {self.unit}")
        return self

    def update(self, n: int = 1, note: str = "") -> None:
        """Count ``n`` more items. ``note``, such as the loss, is shown at the end of the line."""
        self.done += n
        self.note = note
        if self._redraws and time.monotonic() - self._last_draw >= SECONDS_BETWEEN_DRAWS:
            self._draw(self._running())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = time.monotonic() - self._start
        state = "done" if kind is None else "stopped"
        line = (
            f"{self.label}: {state}, {self.done}/{self.total} {self.unit} in {seconds:.1f} s "
            f"({self._rate():.0f} {self.unit}/s) {self.note}".rstrip()
        )
        if self._redraws:
            self._draw(line)
            self._print("")
        else:
            self._print(line)

    def _rate(self) -> float:
        return self.done / max(time.monotonic() - self._start, 1e-9)

    def _running(self) -> str:
        fraction = self.done / self.total if self.total else 1.0
        filled = min(BAR_WIDTH, int(BAR_WIDTH * fraction))
        bar = "#" * filled + "." * (BAR_WIDTH - filled)
        left = (self.total - self.done) / self._rate() if self.done else None
        return (
            f"{self.label} [{bar}] {self.done}/{self.total} {self.unit}  "
            f"{self._rate():.0f}/s  {_clock(left)} left  {self.note}".rstrip()
        )

    def _draw(self, line: str) -> None:
        blanks = " " * (self._last_length - len(line))
        self._stream.write(f"\r{line}{blanks}")
        self._stream.flush()
        self._last_length, self._last_draw = len(line), time.monotonic()

    def _print(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "--:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
