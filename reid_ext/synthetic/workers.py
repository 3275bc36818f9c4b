"""Renders the identities of a data set with this process and, for large ones, some more.

All take the next identity from one shared counter. A worker reports each through its pipe, which
also tells when either side is gone: this process reads the end of it, a worker fails to write.
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
Views = dict[str, int]  # relative path of an image -> the view it shows

# A new process imports for as long as this one takes to render about so many images.
IMAGES_WORTH_A_PROCESS = 2000


class _Worker(NamedTuple):
    process: Any  # a process of the spawn context
    reports: Connection


def number_of_workers(asked: int | None, num_images: int) -> int:
    """Processes to use: ``asked``, or as many as pay; never more than this process may use."""
    wanted = 1 + num_images // IMAGES_WORTH_A_PROCESS
    if asked is not None:
        wanted = integer("synthesize", "workers", asked, 1)
    return min(len(os.sched_getaffinity(0)), wanted)


def render_all(
    render: Callable[[Task], Views], tasks: Sequence[Task], workers: int
) -> Generator[Views, None, None]:
    """Yield ``render(task)`` of every task, in any order; close it to end the workers early.

    This process is one of the workers, so that it is not idle while the others start.

    Raises:
        RuntimeError: a worker process died. An error in ``render`` is raised as it is.
    """
    context = multiprocessing.get_context("spawn")  # the threads of torch do not survive a fork
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
    with _interrupts_held_back():  # inherited: Ctrl-C is for this process, which ends the others
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
    with contextlib.suppress(BrokenPipeError):  # nobody is left to render for
        try:
            for task in _take(tasks, counter):
                reports.send(render(task))
        except Exception as error:
            reports.send(error)


def _take(tasks: Sequence[Task], counter: "Synchronized[int]") -> Iterator[Task]:
    """Tasks that no other process has taken."""
    while True:
        with counter.get_lock():
            number = counter.value
            counter.value += 1
        if number >= len(tasks):
            return
        yield tasks[number]


def _reports(team: list[_Worker], seconds: float | None) -> Iterator[Views]:
    """What has come in, or comes in within this time; takes those that are done off the team."""
    ready = wait([worker.reports for worker in team], seconds)
    for worker in [w for w in team if w.reports in ready]:
        try:
            report = worker.reports.recv()
        except EOFError:
            worker.process.join()
            if worker.process.exitcode != 0:
                raise RuntimeError(
                    "synthesize: a worker process must run to its end, got one that died (exit "
                    f"status {worker.process.exitcode}); see above, or pass workers=1"
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
    """Images this small only lose by OpenCV's threads."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
