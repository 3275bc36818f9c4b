"""Attack the whole package and report what was tried and found.

    python tools/hardening/run.py --quick                   # a few minutes; CI runs this
    python tools/hardening/run.py                           # the long run, with all parts
    python tools/hardening/run.py --only kills --minutes 10 --seed 3

The program prints a table. With --out it also writes the table with the machine and the times to a
JSON file. A failure names the seed and the smallest problem that still fails. The exit status is 1
if anything was found.
"""

import argparse
import importlib
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

# Part -> minutes of the quick run and of the long run.
PARTS = {
    "rankings": (0.4, 90),
    "losses": (0.4, 60),
    "rerankings": (0.2, 60),
    "determinism": (0.2, 30),
    "paths": (0.5, 40),
    "sanitizers": (0.1, 90),
    "kills": (0.4, 60),
    "faults": (0.5, 15),
    "soak": (0.4, 30),
    "hostile": (0.5, 10),
    "wrong_calls": (0.3, 10),
}


def main() -> int:
    args = _arguments()
    parts = args.only.split(",") if args.only else list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        sys.stderr.write(f"--only must be among {', '.join(PARTS)}, got {', '.join(unknown)}\n")
        return 2
    folder = Path(args.folder or tempfile.mkdtemp(prefix="hardening-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {args.seed}, {'quick' if args.quick else 'long'} run", flush=True)
    rows = [row for part in parts for row in _run_apart(part, args, folder)]
    if args.out:
        args.out.write_text(json.dumps(_facts(args, rows), indent=1) + "\n")
    if not args.folder:
        shutil.rmtree(folder, ignore_errors=True)
    found = sum(row["found"] for row in rows)
    print(f"{len(rows)} attacks, {found} faults found")
    return 1 if found else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="run fewer cases, as CI does")
    parser.add_argument(
        "--only", metavar="PARTS", help=f"comma-separated, among {','.join(PARTS)}; default: all"
    )
    parser.add_argument(
        "--minutes", type=float, help="time for each part; default: see PARTS in this file"
    )
    parser.add_argument("--seed", type=int, help="default: a random seed, which is printed")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument(
        "--folder", metavar="DIR", help="keep builds and files in DIR; default: a temporary folder"
    )
    args = parser.parse_args()
    if args.seed is None:
        args.seed = secrets.randbelow(1 << 32)
    return args


def _run_apart(part: str, args: argparse.Namespace, folder: Path) -> list[dict]:
    """Run a part in a new process, so that it does not fork with the threads of another part."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_run, part, args, folder).result()


def _run(part: str, args: argparse.Namespace, folder: Path) -> list[dict]:
    from part import Budget

    own = folder / part
    own.mkdir(exist_ok=True)
    minutes = args.minutes or PARTS[part][0 if args.quick else 1]
    start = time.monotonic()
    budget = Budget(args.seed, 60 * minutes, args.quick, own, start)
    rows = []
    for row in importlib.import_module(part).attack(budget):
        seconds, start = time.monotonic() - start, time.monotonic()
        print(f"{part:>12}  {row.what:<58} {row.count:>9,} {len(row.found):>3} {seconds:7.1f} s")
        for text in row.found:
            print(f"              FOUND {text}")
        sys.stdout.flush()
        rows.append(
            {
                "part": part,
                "attack": row.what,
                "tried": row.count,
                "found": len(row.found),
                "seconds": round(seconds, 1),
                "failures": row.found,
            }
        )
    return rows


def _facts(args: argparse.Namespace, rows: list[dict]) -> dict:
    import torch

    import reid_ext

    return {
        "command": " ".join(sys.argv),
        "seed": args.seed,
        "machine": {
            "processor": _processor(),
            "threads": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "build": reid_ext.build_info(),
            "commit": _commit(),
            "date": time.strftime("%Y-%m-%d"),
        },
        "rows": rows,
    }


def _commit() -> str:
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "none"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
