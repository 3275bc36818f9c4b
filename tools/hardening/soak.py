"""Repeats the same work in loops, threads and processes: no leak, and always the same bits."""

import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import sandbox
import torch
from part import Budget, Row

from reid_ext import ArgumentError, data, evaluate, losses, mine_hardest, ops, rerank, search

SHARE = 0.01  # tolerated growth of the resident memory after the first quarter of a loop
PATIENCE = 50  # tenths of a second to wait for threads that are ending
NOISE = 2 << 20  # tolerated growth in bytes, because malloc keeps some free memory


def attack(budget: Budget) -> Iterator[Row]:
    """Run the loops, then the threads, then the processes."""
    work = loops(budget)
    for name, once in work.items():
        outcome = sandbox.run(
            lambda once=once: _loop(once, budget.seconds / 2 / len(work)),
            seconds=int(budget.seconds) + 60,
        )
        wrong = [] if outcome.text.startswith("(") else [f"{outcome}"]
        count, found = eval(outcome.text) if not wrong else (0, wrong)
        yield Row(f"soak: {name}", count, found)
    yield from _threads(budget)
    yield from _processes(budget)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(64, 32, generator=g), torch.arange(64) % 8


def loops(budget: Budget) -> dict[str, Callable[[], Any]]:
    """The work of each loop."""
    x, labels = batch()
    cameras = torch.arange(64) % 3
    ids = {"query_ids": labels, "gallery_ids": labels}
    ids |= {"query_cameras": cameras, "gallery_cameras": cameras + 1}
    losses_of_pairs = [losses.ExpATLoss(), losses.FIDILoss(), losses.TripletLoss()]
    losses_of_pairs += [losses.CircleLoss(), losses.MultiSimilarityLoss(), losses.ContrastiveLoss()]

    def gradients() -> None:
        for loss in losses_of_pairs:
            leaf = x.clone().requires_grad_()
            loss(leaf, labels).backward()

    def evaluation() -> None:
        evaluate(x, x, **ids)
        evaluate(x, [x[:30], x[30:]], **ids)
        rerank(x, x, k1=5, k2=2)
        search(x, x, 3)

    def refusals() -> None:
        for wrong in ({"labels": labels[:3]}, {"labels": labels, "metric": "none"}):
            try:
                mine_hardest(x, **wrong)
            except ArgumentError:
                continue
            raise AssertionError("the wrong call raised no error")

    small = {"identities": (3, 0, 3), "images": (2, 1)}
    root = data.synthesize("market1501", budget.folder / "set", **small)
    samples = data.load("market1501", root).train
    images = data.Images(samples, data.EvaluationTransform(size=(64, 32)))

    def loading(workers: int) -> None:
        for _ in data.loader(images, data.SequentialBatches(len(images), 4), workers):
            pass

    return {
        "gradients of losses": gradients,
        "evaluation": evaluation,
        "refused calls": refusals,
        "loader": lambda: loading(0),
        "loader with a worker": lambda: loading(1),
    }


def _loop(once: Callable[[], Any], seconds: float) -> tuple[int, list[str]]:
    """Return the number of rounds, and what grew after the first quarter of the time."""
    torch.set_num_threads(1)
    start, count, before = time.monotonic(), 0, None
    while time.monotonic() - start < seconds or before is None:
        once()
        count += 1
        if before is None and time.monotonic() - start > seconds / 4:
            before = _state()
    after, found = _state(), []
    for _ in range(PATIENCE):  # threads of the last round may still be ending
        if after[1] <= before[1] and after[2] <= before[2]:
            break
        time.sleep(0.1)
        after = _state()
    if after[0] > before[0] * (1 + SHARE) + NOISE:
        found.append(f"memory grew from {before[0]:,} to {after[0]:,} bytes in {count} rounds")
    for name, old, new in zip(("open files", "threads"), before[1:], after[1:], strict=True):
        if new > old:
            found.append(f"{name} grew from {old} to {new} in {count} rounds")
    return count, found


def _state() -> tuple[int, int, int]:
    """The resident bytes, open files and threads of this process."""
    gc.collect()
    files, threads = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    return sandbox.resident(), files, threads


def everything() -> list[bytes]:
    """The bits of the results of one call of each kind."""
    x, labels = batch()
    leaf = x.clone().requires_grad_()
    losses.ExpATLoss()(leaf, labels).backward()
    cameras = torch.zeros(64, dtype=torch.int64)
    ranking = evaluate(
        x, x, query_ids=labels, gallery_ids=labels, query_cameras=cameras,
        gallery_cameras=cameras + 1,
    )  # fmt: skip
    parts = [leaf.grad, ranking.cmc, ranking.average_precision, ops.cosine_matrix(x)]
    parts += [ops.fidi_loss(x, labels), rerank(x[:9], x, k1=5, k2=2), *search(x, x, 3)]
    return [np.asarray(part).tobytes() for part in parts]


def _threads(budget: Budget) -> Iterator[Row]:
    """Call ops in many Python threads at once; every result must equal that of a single thread."""
    wanted, wrong, rounds = everything(), [], budget.amount(5, 200)

    def work() -> None:
        for _ in range(rounds):
            try:
                if everything() != wanted:
                    wrong.append("a thread gives other bits than the main thread alone")
            except Exception as error:
                wrong.append(repr(error)[:300])

    team = [threading.Thread(target=work) for _ in range(8)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    yield Row("eight Python threads at once", 8 * rounds, wrong[:5])


def _same(wanted: list[bytes]) -> bool:
    return everything() == wanted


def _processes(budget: Budget) -> Iterator[Row]:
    """Call ops in forked and spawned processes, after this process has called all of them.

    GNU OpenMP hangs in the child of a process that has used its threads, in torch.mm as in our ops.
    A forked child therefore calls set_num_threads(1) first, as the workers of a DataLoader do.
    """
    wanted = everything()
    for method, first in (("fork", torch.set_num_threads), ("spawn", None)):
        number = budget.amount(2, 20)
        with multiprocessing.get_context(method).Pool(2, first, (1,) if first else ()) as pool:
            results = pool.map_async(_same, [wanted] * number).get(timeout=300)
        found = [] if all(results) else ["a child gives other bits than this process"]
        yield Row(f"processes by {method}", number, found)
