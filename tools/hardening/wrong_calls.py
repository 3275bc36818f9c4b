"""Calls every public callable with invalid arguments, which are made from its signature.

For each callable there is one valid call. The attack replaces every argument in turn by values of
the wrong type. If the call raises, the error must be of a documented type and short. A call may
also succeed, because some of the values are valid for some arguments. A crash or another type of
error is a fault.
"""

import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sandbox
import torch
from part import Budget, Row
from right_calls import COMMANDS, right_calls

from reid_ext import cli
from reid_ext._runtime.arguments import ArgumentError

ALLOWED = {
    "ops": (ArgumentError,),
    "losses": (ArgumentError,),
}
OTHERS = (ValueError, TypeError, FileNotFoundError, IsADirectoryError, FileExistsError)
LONGEST = 2000  # characters of a message; torch prints whole values in errors of its schemas

WRONG: dict[str, Any] = {
    "None": None,
    "a word": "no such thing",
    "a negative number": -3,
    "a fraction": 2.5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "a huge number": 2**70,
    "True": True,
    "an empty list": [],
    "a list of words": ["a", "b"],
    "a dict": {1: 2},
    "an object": object(),
    "a scalar tensor": torch.tensor(3.0),
    "an empty tensor": torch.empty(0),
    "a cube": torch.ones(2, 3, 4),
    "whole numbers": torch.arange(6).view(2, 3),
    "complex numbers": torch.ones(6, 4, dtype=torch.complex64),
    "a sparse tensor": torch.eye(6).to_sparse(),
    "a meta tensor": torch.ones(6, 4, device="meta"),
    "a tensor of another length": torch.ones(5, 7),
    "too few labels": torch.tensor([1, 2]),
    "an array": np.ones((3, 5, 2)),
    "a path": Path("/proc/no/such/place"),
    "bytes": b"\xff\x00",
}


def attack(budget: Budget) -> Iterator[Row]:
    """Try all wrong calls, in one forked process for each callable."""
    torch.set_num_threads(1)  # more would hang in the forked processes
    total, found = 0, []
    calls = right_calls(budget.folder)
    for name, (call, given) in calls.items():
        outcome = sandbox.run(lambda c=call, g=given: c(**g))
        if outcome.error or outcome.ended:
            found.append(f"{name}: the valid call fails: {outcome}")
            continue
        outcome = sandbox.run(
            lambda n=name, c=call, g=given: _tried(n, c, g, budget.folder), seconds=120
        )
        if outcome.error or outcome.ended:
            found.append(f"{name}: {outcome}")
            continue
        tried, wrong = eval(outcome.text)
        total += tried
        found += wrong
    yield Row(f"wrong calls of {len(calls)} public callables", total, found)
    yield _commands(budget)


def _tried(
    name: str, call: Callable[..., Any], given: dict[str, Any], folder: Path
) -> tuple[int, list[str]]:
    """Return the number of calls and descriptions of the faults."""
    tried, wrong = 0, []
    os.chdir(folder)  # strings may be used as paths
    for argument in inspect.signature(call).parameters:
        if argument in ("args", "kwargs"):
            continue
        for kind, value in WRONG.items():
            tried += 1
            try:
                call(**(given | {argument: value}))
            except Exception as error:
                if fault := _fault_of(name, error):
                    wrong.append(f"{name}({argument}={kind}): {fault}")
    return tried, wrong[:8]


def _fault_of(name: str, error: Exception) -> str:
    allowed = ALLOWED.get(name.split(".")[0], OTHERS)
    text = str(error)
    if not isinstance(error, allowed):
        return f"{type(error).__name__}: {text:.150}"
    if len(text) > LONGEST:
        return f"a message of {len(text)} characters: {text:.150}"
    return "" if text.strip() else "an empty message"


def _commands(budget: Budget) -> Row:
    """Try wrong command lines; the exit status must be 1 or 2."""
    found = []
    for arguments in COMMANDS:

        def run(arguments: list[str] = arguments) -> int:
            os.chdir(budget.folder)  # some commands use "." as a path
            try:
                return cli.main(arguments)
            except SystemExit as stop:
                return stop.code

        outcome = sandbox.run(run)
        if outcome.text not in ("1", "2"):
            found.append(f"reid-ext {' '.join(arguments)[:100]}: {outcome}")
    return Row("wrong command lines", len(COMMANDS), found)
