"""Times variants in turns and records the machine. Shared by all benchmarks."""

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch

import reid_ext


def arguments(description: str) -> argparse.Namespace:
    """Parse the flags that all benchmarks share."""
    return parsed(parser(description))


def parser(description: str) -> argparse.ArgumentParser:
    """A parser of the shared flags, to which a benchmark can add its own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="CPU threads; with 1, CPU time is measured, else wall time",
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds to spend on each row")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    return args


def clock(device: str, threads: int) -> Callable[[], float]:
    """A clock in seconds: process time for one CPU thread (least disturbed), else wall time."""
    if device == "cpu":
        return time.process_time if threads == 1 else time.perf_counter

    def synchronised() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return synchronised


def alternately(
    variants: Mapping[str, Callable[[], Any]],
    args: argparse.Namespace,
    rounds: int = 5,
    warm: Collection[str] = (),
) -> dict[str, float]:
    """Median seconds of each variant. They run in turns, so other load affects all equally.

    Each variant runs once for warm-up, then for ``args.seconds`` in total and at least ``rounds``
    times. A variant in ``warm`` also runs untimed before each timed run, because a host may take
    memory from a virtual machine while it waits for a slow variant.
    """
    now = clock(args.device, args.threads)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for run in variants.values():
        run()
    start = time.perf_counter()
    first = seconds[next(iter(seconds))]
    while len(first) < rounds or (rounds > 1 and time.perf_counter() - start < args.seconds):
        for name, run in variants.items():
            if name in warm:
                run()
            begin = now()
            run()
            seconds[name].append(now() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def machine(args: argparse.Namespace) -> dict[str, Any]:
    """The machine and software on which a benchmark ran."""
    facts = {"device": args.device, "threads": args.threads, "torch": torch.__version__}
    facts |= {"build": reid_ext.build_info(), "processor": _processor()}
    if args.device != "cpu":
        facts |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
        query = "--query-gpu=driver_version,clocks.sm,clocks.mem"
        facts["driver, clocks"] = _said("nvidia-smi", query, "--format=csv,noheader")
    commit = _said("git", "rev-parse", "--short", "HEAD")
    return facts | {"commit": commit, "date": time.strftime("%Y-%m-%d")}


def _said(*command: str) -> str:
    """The output of a command, or an empty string if the command does not exist."""
    if not shutil.which(command[0]):
        return ""
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _processor() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith(("model name", "cpu family", "model\t"))
    ]
    return ", ".join(names[:3]) or platform.processor()


def show(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """Print the rows as a Markdown table; with ``--json``, write them and the machine to a file."""
    names = list(rows[0])
    print("| " + " | ".join(names) + " |")
    print("|" + "---|" * len(names))
    for row in rows:
        print("| " + " | ".join(_text(row[name]) for name in names) + " |")
    facts = machine(args)
    print("\n" + ", ".join(f"{name} {value}" for name, value in facts.items() if name != "build"))
    if args.json:
        args.json.write_text(json.dumps({"machine": facts, "rows": rows}, indent=1) + "\n")


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
