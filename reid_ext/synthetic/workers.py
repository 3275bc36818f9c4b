"""Renders the identities of a dataset in this process and, for large datasets, in worker processes.

All processes take the next identity from a shared counter. A worker sends its results through a
pipe. If a worker dies, this process reads the end of the pipe. If this process dies, the worker
fails to write and stops.
"""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.sharedctypes import Synchronized
from typing import Any, NamedTuple, TypeVar

import cv2

from reid_ext._runtime.arguments import integer

Task = TypeVar("Task")
Views = dict[str, int]  # relative path of an image -> its view

# A new process needs as much time to start as this one needs to render about 2000 images.
IMAGES_WORTH_A_PROCESS = 2000


class _Worker(NamedTuple):
    process: Any  # a process of the spawn context
    reports: Connection


def number_of_workers(asked: int | None, num_images: int) -> int:
    """Return the number of processes that :func:`synthesize` uses.

    Args:
        asked: Requested number, >= 1, or None for one process and one more for every 2000
            images.
        num_images: Number of images to render.

    Returns:
        The number of processes, at most the number of cores that this process may use.

    Raises:
        ArgumentError: ``asked`` is not an integer >= 1.

    Examples:
        >>> from reid_ext.synthetic import number_of_workers
        >>> number_of_workers(None, num_images=500)
        1
    """
    wanted = 1 + num_images // IMAGES_WORTH_A_PROCESS
    if asked is not None:
        wanted = integer("synthesize", "workers", asked, 1)
    return min(len(os.sched_getaffinity(0)), wanted)


def render_all(
    render: Callable[[Task], Views], tasks: Sequence[Task], workers: int
) -> Generator[Views, None, None]:
    """Yield ``render(task)`` for every task, in any order; close it to stop the workers early.

    This process renders too, so it is not idle while the workers start.

    Raises:
        RuntimeError: A worker process died. An error in ``render`` is raised unchanged.
    """
    context = multiprocessing.get_context("spawn")  # torch's threads do not work after a fork
    counter = context.Value("i", 0)
    team: list[_Worker] = []
    try:
        for _ in range(workers - 1):
            team.append(_start(context, render, tasks, counter))
        with _one_opencv_thread():
            for task in _take(tasks, counter):
                yield render(task)
                yield from _reports(team, seconds=0)
        while team:
            yield from _reports(team, seconds=None)
    finally:
        for worker in team:
            worker.process.terminate()
        for worker in team:
            worker.process.join()


def _start(
    context: Any,
    render: Callable[[Task], Views],
    tasks: Sequence[Task],
    counter: "Synchronized[int]",
) -> _Worker:
    reports, far_end = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(render, tasks, counter, far_end), daemon=True)
    with _interrupts_held_back():  # inherited: this process handles Ctrl-C and ends the others
        process.start()
    far_end.close()
    return _Worker(process, reports)


def _work(
    render: Callable[[Task], Views],
    tasks: Sequence[Task],
    counter: "Synchronized[int]",
    reports: Connection,
) -> None:
    cv2.setNumThreads(1)
    with contextlib.suppress(BrokenPipeError):  # the main process has ended
        try:
            for task in _take(tasks, counter):
                reports.send(render(task))
        except Exception as error:
            reports.send(error)


def _take(tasks: Sequence[Task], counter: "Synchronized[int]") -> Iterator[Task]:
    """Yield the tasks that no other process has taken."""
    while True:
        with counter.get_lock():
            number = counter.value
            counter.value += 1
        if number >= len(tasks):
            return
        yield tasks[number]


def _reports(team: list[_Worker], seconds: float | None) -> Iterator[Views]:
    """Yield the results that arrive within ``seconds``; remove finished workers from the team."""
    ready = wait([worker.reports for worker in team], seconds)
    for worker in [w for w in team if w.reports in ready]:
        try:
            report = worker.reports.recv()
        except EOFError:
            worker.process.join()
            if worker.process.exitcode != 0:
                raise RuntimeError(
                    "synthesize: a worker process must run to its end, got one that died (exit "
                    f"status {worker.process.exitcode}); see its error above, or use workers=1"
                ) from None
            team.remove(worker)
            continue
        if isinstance(report, Exception):
            raise report
        yield report


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Use one OpenCV thread: for small images more threads are slower."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
