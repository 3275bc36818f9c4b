"""Progress on stderr: a bar that is redrawn in a terminal, or a line now and then elsewhere."""

import io
import shutil
import sys
import time
from types import TracebackType
from typing import TextIO

BAR_WIDTH, SHORTEST_BAR = 24, 4
SECONDS_BETWEEN_DRAWS = 0.1
SECONDS_BETWEEN_LINES, SHARE_BETWEEN_LINES = 30, 0.05  # outside a terminal, whichever is sooner
LEAST_SECONDS_BETWEEN_LINES = 5
_silent = False


def silence() -> None:
    """Show no progress from now on, because another process shows it."""
    global _silent
    _silent = True


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
        first: Number of items that were done before, in a run that is resumed.
        stream: Text stream to write to. Default: None (stderr).
    """

    def __init__(
        self,
        total: int,
        label: str,
        *,
        unit: str = "images",
        first: int = 0,
        stream: TextIO | None = None,
    ):
        self.total = total
        self.label = label
        self.unit = unit
        self.first = self.done = first
        self.note = ""
        self._stream = io.StringIO() if _silent else stream or sys.stderr
        self._redraws = self._stream.isatty()
        self._last_length = 0
        self._last_draw, self._last_done = 0.0, first
        self._start = time.monotonic()

    def __enter__(self) -> "Progress":
        self._start = self._last_draw = time.monotonic()
        if self._redraws:
            self._draw(self._running())
        else:
            after = f", resumed after {self.first}" if self.first else ""
            self._print(f"{self.label}: {self.total} {self.unit}{after}")
        return self

    def update(self, n: int = 1, note: str = "") -> None:
        """Count ``n`` more items. ``note``, such as the loss, is shown at the end of the line."""
        self.done += n
        self.note = note
        seconds = time.monotonic() - self._last_draw
        if self._redraws:
            if seconds >= SECONDS_BETWEEN_DRAWS:
                self._draw(self._running())
        elif seconds >= LEAST_SECONDS_BETWEEN_LINES and self.done < self.total:
            share = (self.done - self._last_done) / self.total
            if seconds >= SECONDS_BETWEEN_LINES or share >= SHARE_BETWEEN_LINES:
                self._print(f"{self.label}: {self._counted()}")
                self._last_draw, self._last_done = time.monotonic(), self.done

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
            f"({rate_text(self._rate())} {self.unit}/s) {self.note}".rstrip()
        )
        if self._redraws:
            self._draw(line)
            self._print("")
        else:
            self._print(line)

    def _rate(self) -> float:
        return (self.done - self.first) / max(time.monotonic() - self._start, 1e-9)

    def _counted(self) -> str:
        rate = self._rate()
        left = _clock((self.total - self.done) / rate if rate else None)
        return (
            f"{self.done}/{self.total} {self.unit}  {rate_text(rate)}/s  {left} left  {self.note}"
        ).rstrip()

    def _running(self) -> str:
        """One line that fits the terminal: the bar shrinks first, then the end is cut."""
        columns = shutil.get_terminal_size().columns - 1  # a full line would wrap
        counted = self._counted()
        room = columns - len(f"{self.label} [] {counted}")
        width = max(SHORTEST_BAR, min(BAR_WIDTH, room))
        fraction = self.done / self.total if self.total else 1.0
        filled = min(width, int(width * fraction))
        return f"{self.label} [{'#' * filled}{'.' * (width - filled)}] {counted}"[:columns]

    def _draw(self, line: str) -> None:
        blanks = " " * (self._last_length - len(line))
        self._stream.write(f"\r{line}{blanks}")
        self._stream.flush()
        self._last_length, self._last_draw = len(line), time.monotonic()

    def _print(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


def rate_text(rate: float) -> str:
    """A rate with two digits, or without decimals from 10 on."""
    return f"{rate:.0f}" if rate >= 10 or rate == 0 else f"{rate:.2g}"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "--:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
