"""The progress line: a bar in a terminal, a line now and then in a log."""

import io
import re

import pytest

from reid_ext._runtime import progress as _progress
from reid_ext._runtime.progress import Progress, rate_text


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    return now


def test_progress_logs_a_line_at_start_and_end(clock):
    log = io.StringIO()
    with Progress(200, "render", stream=log) as progress:
        for _ in range(200):
            clock[0] += 0.01
            progress.update(1)
    start, end = log.getvalue().splitlines()
    assert start == "render: 200 images"
    assert end == "render: done, 200/200 images in 2.0 s (100 images/s)"


def test_progress_shows_rate_time_left_and_note(clock):
    screen = Terminal()
    with Progress(300, "epoch 1", stream=screen) as progress:
        clock[0] += 2
        progress.update(100, note="loss 1.5")
    drawn = screen.getvalue().split("\r")[2]
    assert drawn == "epoch 1 [########................] 100/300 images  50/s  00:04 left  loss 1.5"


@pytest.mark.parametrize("columns", [20, 60, 80, 200])
def test_progress_fits_the_terminal(clock, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    screen = Terminal()
    with Progress(30_000, "train", unit="iterations", stream=screen) as progress:
        clock[0] += 10
        progress.update(1200, note="id 3.023 expat 3.338, 1271 images/s")
    drawn = screen.getvalue().split("\r")[2]
    assert len(drawn) <= columns - 1
    assert columns < 80 or "120/s  04:00 left  id 3.02" in drawn


def test_progress_logs_a_line_every_thirty_seconds(clock):
    log = io.StringIO()
    with Progress(30_000, "train", unit="iterations", stream=log) as progress:
        for _ in range(100):
            clock[0] += 1
            progress.update(note="id 3.0")
    lines = log.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[1] == "train: 30/30000 iterations  1/s  8:19:30 left  id 3.0"


def test_progress_logs_a_line_every_five_percent(clock):
    log = io.StringIO()
    with Progress(20, "render", stream=log) as progress:
        for _ in range(20):
            clock[0] += 10
            progress.update()
    lines = log.getvalue().splitlines()
    assert len(lines) == 21  # start, 19 steps and the end
    assert lines[1] == "render: 1/20 images  0.1/s  03:10 left"
    assert lines[-1] == "render: done, 20/20 images in 200.0 s (0.1 images/s)"


def test_progress_of_a_resumed_run_counts_from_its_first_item(clock):
    log = io.StringIO()
    with Progress(100, "train", unit="iterations", first=90, stream=log) as progress:
        clock[0] += 20
        progress.update(5)
        clock[0] += 20
        progress.update(5)
    assert log.getvalue().splitlines() == [
        "train: 100 iterations, resumed after 90",
        "train: 95/100 iterations  0.25/s  00:20 left",
        "train: done, 100/100 iterations in 40.0 s (0.25 iterations/s)",
    ]


@pytest.mark.parametrize("rate, text", [(0, "0"), (0.0333, "0.033"), (1.26, "1.3"), (12.6, "13")])
def test_rate_text_has_two_digits(rate, text):
    assert rate_text(rate) == text


def test_progress_pads_a_shorter_line(clock):
    screen = Terminal()
    with Progress(10, "x", stream=screen) as progress:
        clock[0] += 1
        progress.update(1, note="a long note")
        clock[0] += 1
        progress.update(1)
    _, _, long, short, _ = screen.getvalue().split("\r")
    assert len(short) >= len(long)


def test_progress_does_not_redraw_for_each_item(clock):
    screen = Terminal()
    with Progress(1000, "x", stream=screen) as progress:
        for _ in range(1000):
            clock[0] += 0.001
            progress.update()
    assert len(re.findall("\r", screen.getvalue())) < 15


def test_progress_reports_stopped_when_the_block_raises():
    log = io.StringIO()
    with (
        pytest.raises(KeyboardInterrupt),
        Progress(9, "render", unit="people", stream=log) as progress,
    ):
        progress.update(4)
        raise KeyboardInterrupt
    assert "render: stopped, 4/9 people" in log.getvalue()


def test_progress_ends_when_there_is_nothing_to_do(clock):
    log = io.StringIO()
    with Progress(0, "render", stream=log):
        pass
    assert log.getvalue().endswith("render: done, 0/0 images in 0.0 s (0 images/s)\n")


def test_progress_shows_hours(clock):
    screen = Terminal()
    with Progress(3, "x", stream=screen) as progress:
        clock[0] += 3600
        progress.update()
    assert "2:00:00 left" in screen.getvalue()
