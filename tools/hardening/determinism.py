"""Every op and its gradient give the same bits in two runs and for every number of threads."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from part import Budget, Row

from reid_ext import losses, ops, rerank
from reid_ext.evaluation import evaluate, jaccard_distance, search, verify

THREADS = (1, 2, 3, 8)


def attack(budget: Budget) -> Iterator[Row]:
    """Compare runs on batches that are large enough to be divided among threads."""
    for name, call in CALLS.items():
        found, done = set(), 0
        for number, rng in budget.share(1 / len(CALLS)).numbers(budget.amount(2, 100)):
            n, dim = int(rng.integers(300, 1500)), int(rng.integers(16, 300))
            x = torch.tensor(rng.standard_normal((n, dim)), dtype=torch.float32)
            labels = torch.tensor(rng.integers(0, 50, n))
            results = {}
            for threads in THREADS:
                torch.set_num_threads(threads)
                results[threads] = [call(x, labels), call(x, labels)]
            for threads, (one, two) in results.items():
                done += 2
                if one != results[1][0] or two != one:
                    found.add(f"seed [{budget.seed}, {number}], {n} x {dim}: {threads} threads")
        torch.set_num_threads(1)
        yield Row(f"same bits: {name}", done, sorted(found)[:5])


def bits(*tensors: torch.Tensor) -> list[bytes]:
    return [np.ascontiguousarray(t.detach().numpy()).tobytes() for t in tensors]


def of_loss(loss: Callable[..., torch.Tensor]) -> Callable[..., list[bytes]]:
    def call(x: torch.Tensor, labels: torch.Tensor) -> list[bytes]:
        leaf = x.clone().requires_grad_()
        value = loss(leaf, labels)
        value.backward()
        return bits(value, leaf.grad)

    return call


def _cosines(x: torch.Tensor, labels: torch.Tensor) -> list[bytes]:
    leaf = x.clone().requires_grad_()
    cosine = ops.cosine_matrix(leaf)
    cosine.backward(cosine.detach())  # a sum by torch would depend on the number of threads
    return bits(cosine, leaf.grad)


def _evaluation(x: torch.Tensor, labels: torch.Tensor) -> list[bytes]:
    cameras = torch.arange(len(x)) % 4
    q = slice(0, len(x) // 4)
    options = {"query_ids": labels[q], "gallery_ids": labels}
    options |= {"query_cameras": cameras[q], "gallery_cameras": cameras}
    got = evaluate(x[q], x, **options)
    parts = got.cmc, got.average_precision, got.inverse_negative_penalty
    rates = verify(x[q], x, **options).true_positive_rate
    return bits(*parts, torch.as_tensor(rates))


def _nearest(x: torch.Tensor, labels: torch.Tensor) -> list[bytes]:
    return bits(*search(x[:100], x, 10), *ops.nearest(x, 10))


def _rerank(x: torch.Tensor, labels: torch.Tensor) -> list[bytes]:
    return bits(rerank(x[:100], x), *jaccard_distance(x[:300], 10, 3))


def _views(x: torch.Tensor, labels: torch.Tensor) -> list[bytes]:
    leaf = x[:, : x.shape[1] // 3 * 3].clone().requires_grad_()
    value = ops.viewpoint_loss(leaf, labels % (leaf.shape[1] // 3), labels % 3)
    value.backward()
    return bits(value, leaf.grad)


CALLS: dict[str, Callable[..., list[bytes]]] = {
    "expat": of_loss(losses.ExpATLoss()),
    "fidi": of_loss(losses.FIDILoss()),
    "triplet": of_loss(losses.TripletLoss()),
    "viewpoint": _views,
    "cosine matrix": _cosines,
    "evaluation": _evaluation,
    "nearest": _nearest,
    "re-ranking": _rerank,
}
