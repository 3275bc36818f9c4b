"""Forces every code path that is chosen at run time and compares it with the float64 references.

A separate build forces each instruction set of the kernels (AVX-512, AVX2, neither). Environment
variables of reid_ext and oneDNN force the precision of the estimates and their instructions.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from part import ROOT, Budget, Row

LEVELS = {"AVX-512": "4", "AVX2": "3", "baseline": "1"}
PRODUCTS: dict[str, dict[str, str]] = {
    "in full": {"REID_EXT_CPU_ESTIMATE": "float32"},
    "estimates in bfloat16": {"REID_EXT_CPU_ESTIMATE": "bfloat16"},
    "estimates in bfloat16, AVX2": {
        "REID_EXT_CPU_ESTIMATE": "bfloat16",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    },
}
FUZZERS = "rankings,losses,rerankings"


def attack(budget: Budget) -> Iterator[Row]:
    """Force the libraries for products in every run, the instruction sets in the long run."""
    products = dict(list(PRODUCTS.items())[:2]) if budget.quick else PRODUCTS
    for name, variables in products.items():
        yield _fuzzed(budget, name, variables, len(products))
    if budget.quick:
        return
    for name, level in LEVELS.items():
        package = built(budget.folder / name, [f"-DREID_EXT_CPU_LEVEL={level}"])
        yield _fuzzed(budget, f"kernels {name}", {"PYTHONPATH": str(package)}, 3)


def _fuzzed(budget: Budget, name: str, variables: dict[str, str], of: int) -> Row:
    count, found = fuzz(budget, variables, budget.seconds / 60 / of / 4)
    return Row(f"path forced: {name}", count, found)


def fuzz(
    budget: Budget, variables: dict[str, str], minutes: float, only: str = FUZZERS
) -> tuple[int, list[str]]:
    """Run the fuzzers with these variables; return the number of problems and the faults."""
    out = budget.folder / "fuzz.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, str(Path(__file__).with_name("run.py")), "--quick", "--only", only]
    command += ["--minutes", f"{minutes:.3f}", "--seed", str(budget.seed), "--out", str(out)]
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    if not out.exists():
        return 0, [f"status {done.returncode}: {(done.stderr or done.stdout)[-500:]}"]
    rows = json.loads(out.read_text())["rows"]
    return sum(row["tried"] for row in rows), [text for row in rows for text in row["failures"]]


def built(folder: Path, options: list[str]) -> Path:
    """Build the package with these options in ``folder`` and return the path to import it from."""
    package = folder / "python"
    shutil.rmtree(package, ignore_errors=True)
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "reid_ext", package / "reid_ext", ignore=ignored)
    build(folder / "build", options)
    install = ["cmake", "--install", str(folder / "build"), "--component", "python"]
    subprocess.run(
        [*install, "--prefix", str(package / "reid_ext")], check=True, capture_output=True
    )
    return package


def build(folder: Path, options: list[str]) -> None:
    """Configure and build with CMake, without CUDA."""
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", "-DREID_EXT_CUDA=OFF"]
    configure += [f"-DPython_EXECUTABLE={sys.executable}", *options]
    for command in (configure, ["cmake", "--build", str(folder)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {(done.stdout + done.stderr)[-2000:]}")
