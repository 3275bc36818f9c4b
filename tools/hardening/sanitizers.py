"""The C++ tests under AddressSanitizer, UBSan, ThreadSanitizer and valgrind; offsets beyond 2**31.

The kernels are also fuzzed from Python in a build with AddressSanitizer. Everything except the
offsets needs separate builds, so only the long run does it. CI makes the AddressSanitizer build in
a step of its own.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator

import sandbox
import torch
from part import Budget, Row
from paths import build, built, fuzz

from reid_ext import ops
from reid_ext.evaluation import evaluate_distances

DEBUG = "-DCMAKE_BUILD_TYPE=RelWithDebInfo"
TESTS = "-DREID_EXT_TESTS=ON"


def attack(budget: Budget) -> Iterator[Row]:
    """Check offsets in every run, and everything else in the long run."""
    found = []
    for name, call in OFFSETS.items():
        outcome = sandbox.run(call, seconds=300)
        if outcome.text != "True":
            found.append(f"{name}: {outcome}")
    yield Row("offsets beyond 2**31, by expanded strides", len(OFFSETS), found)
    if budget.quick:
        return
    address = budget.folder / "address"
    package = built(address, [DEBUG, TESTS, "-DREID_EXT_SANITIZE=address,undefined"])
    yield _ctest("C++ tests, ASan and UBSan", address / "build", {})
    # AddressSanitizer looks up the C++ runtime once at the start, so preload it as well.
    preload = f"{_library('libasan.so')} {_library('libstdc++.so.6')}"
    variables = {"PYTHONPATH": str(package), "LD_PRELOAD": preload}
    variables |= {"ASAN_OPTIONS": "detect_leaks=0"}
    count, found = fuzz(budget, variables, budget.seconds / 60 / 20)
    yield Row("fuzz, ASan and UBSan", count, found)
    build(budget.folder / "thread", [DEBUG, TESTS, "-DREID_EXT_SANITIZE=thread"])
    variables = {"OMP_NUM_THREADS": "1"}
    yield _ctest("C++ tests in threads, TSan", budget.folder / "thread", variables)
    if shutil.which("valgrind"):
        build(budget.folder / "plain", [DEBUG, TESTS, "-DREID_EXT_CPU_LEVEL=1"])
        yield _valgrind(budget)


def _library(name: str) -> str:
    found = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True)
    return found.stdout.strip()


def _ctest(what: str, folder: os.PathLike, variables: dict[str, str]) -> Row:
    """Run the tests of a build; return their number and the output of those that fail."""
    command = ["ctest", "--test-dir", str(folder), "--output-on-failure"]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
    number = re.search(r"out of (\d+)", done.stdout)
    wrong = [] if done.returncode == 0 else [done.stdout[-1500:]]
    return Row(what, int(number[1]) if number else 0, wrong)


def _valgrind(budget: Budget) -> Row:
    """Run each test program without AVX.

    Only errors in our code count, because torch is not written for valgrind.
    """
    tests = sorted((budget.folder / "plain").glob("*_test"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = []
    for test in tests:
        done = subprocess.run(
            ["valgrind", "--error-exitcode=0", "--undef-value-errors=yes", str(test)],
            env=environment, capture_output=True, text=True,
        )  # fmt: skip
        ours = [part for part in done.stderr.split("\n==") if "reid_ext::" in part]
        wrong = re.findall(
            r"Invalid (?:read|write)|Conditional jump|Process terminating", done.stderr
        )
        if done.returncode or (ours and wrong):
            found.append(f"{test.name}: status {done.returncode}, {done.stderr[-800:]}")
    return Row("C++ tests, valgrind", len(tests), found)


# --- offsets --------------------------------------------------------------------------------------

WIDE = (1 << 31) + 7  # elements between rows, so that an int of 32 bits would overflow


def _far_apart(rows: int, dim: int) -> torch.Tensor:
    """Rows that are more than 2**31 elements apart; the memory between them is never touched."""
    storage = torch.empty(WIDE * (rows - 1) + dim, dtype=torch.float32)
    x = storage.as_strided((rows, dim), (WIDE, 1))
    x.copy_(torch.arange(rows * dim).view(rows, dim).sin())
    return x


def _mined() -> bool:
    x, labels = _far_apart(3, 8), torch.tensor([0, 0, 1])
    far, near = (ops.mine_hardest(t, labels) for t in (x, x.contiguous()))
    return all(
        torch.equal(a.nan_to_num(9), b.nan_to_num(9)) for a, b in zip(far, near, strict=True)
    )


def _cosines() -> bool:
    x = _far_apart(3, 8)
    return torch.equal(ops.cosine_matrix(x), ops.cosine_matrix(x.contiguous()))


def _ranked() -> bool:
    d = _far_apart(3, 6)
    ids = {"query_ids": [0, 1, 2], "gallery_ids": [0, 1, 2, 0, 1, 2], "protocol": "generic"}
    return evaluate_distances(d, **ids).mAP == evaluate_distances(d.contiguous(), **ids).mAP


def _expanded() -> bool:
    """A row that a stride of 0 repeats 2**20 times, searched by two queries: 2**21 pairs."""
    x = torch.ones(1, 4).expand(1 << 20, 4)
    found = ops.nearest(x[:2], 3, keys=x)
    return found.indices.tolist() == [[0, 1, 2]] * 2


def _labelled() -> bool:
    logits = _far_apart(3, 6).requires_grad_()
    labels = torch.tensor([0, 3, 5])
    far = ops.adaptive_label_smoothing_loss(logits, labels)
    return torch.equal(far, ops.adaptive_label_smoothing_loss(logits.detach().contiguous(), labels))


OFFSETS: dict[str, Callable[[], bool]] = {
    "mining": _mined,
    "cosines": _cosines,
    "rankings": _ranked,
    "nearest": _expanded,
    "label smoothing": _labelled,
}
