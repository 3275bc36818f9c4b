"""The same work over and over, in loops, threads and processes: no growth, no leak, same bits."""

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

SHARE = 0.01  # of the resident memory by which it may grow after the first quarter of a loop
PATIENCE = 50  # tenths of a second for what is on its way out
NOISE = 2 << 20  # bytes that malloc may come and go by, in however short a loop


def attack(budget: Budget) -> Iterator[Row]:
    """Loops first, then threads, then processes."""
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
    """What is repeated."""
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
            raise AssertionError("not refused")

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
    """How often it was done, and what grew after the first quarter of the time."""
    torch.set_num_threads(1)
    start, count, before = time.monotonic(), 0, None
    while time.monotonic() - start < seconds or before is None:
        once()
        count += 1
        if before is None and time.monotonic() - start > seconds / 4:
            before = _state()
    after, found = _state(), []
    for _ in range(PATIENCE):  # threads of the last round may be ending
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
    """Resident bytes, open files and threads of this process."""
    gc.collect()
    files, threads = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    return sandbox.resident(), files, threads


def everything() -> list[bytes]:
    """The bits of one call of each kind."""
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
    """Many Python threads call ops at once, each with the result of one alone."""
    wanted, wrong, rounds = everything(), [], budget.amount(5, 200)

    def work() -> None:
        for _ in range(rounds):
            try:
                if everything() != wanted:
                    wrong.append("other bits in a thread than alone")
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
    """Forked and spawned processes, after this one has used everything.

    GNU's OpenMP hangs in the child of a process that has used its threads, torch.mm as much as
    our ops. So a forked child takes one thread first, as those of torch's DataLoader do.
    """
    wanted = everything()
    for method, first in (("fork", torch.set_num_threads), ("spawn", None)):
        number = budget.amount(2, 20)
        with multiprocessing.get_context(method).Pool(2, first, (1,) if first else ()) as pool:
            results = pool.map_async(_same, [wanted] * number).get(timeout=300)
        found = [] if all(results) else ["other bits than in this process"]
        yield Row(f"processes by {method}", number, found)
