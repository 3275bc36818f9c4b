"""Reports the registers, memory and occupancy of every CUDA kernel. Needs nvcc, but no GPU.

    python tools/kernel_report.py --architectures 90 80 --json benchmarks/results/sm_90-kernels.json

A row describes one kernel for one architecture: registers, bytes of shared memory, stack and
spills, and the occupancy at the launched block size. If nvdisasm is on PATH, a row also counts
loads by width and fused multiply-adds. The exit status is 1 if a kernel spills registers.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch_info

ROOT = Path(__file__).resolve().parents[1]
BLOCK_THREADS = 256  # of every launch
WARPS, BLOCKS, REGISTERS = 64, 32, 65536  # per multiprocessor of sm_80, sm_90 and sm_100
SHARED_KIB = {"80": 164, "90": 228, "100": 228}
RESERVED_SHARED = 1024  # bytes that the driver reserves in every block
NAME = re.compile(r"reid_ext::(?:(\w+)::)?(?:\(anonymous namespace\)::)?(\w+)(?:<(.*?)>)?\(")
FIELDS = {
    "stack": r"(\d+) bytes stack frame",
    "spilled": r"(\d+) bytes spill stores",
    "registers": r"Used (\d+) registers",
    "shared": r"(\d+) bytes smem",
}
INSTRUCTIONS = {
    "loads_32": r"LDG\.E(?!\.(?:64|128))",
    "loads_64": r"LDG\.E\.(?:\w+\.)*64",
    "loads_128": r"LDG\.E\.(?:\w+\.)*128",
    "fma": r"\b[FD]FMA",
    "tensor_core": r"\b(?:[HDI]|QG|HG)MMA",
}


def compiled(source: Path, architecture: str, cubin: Path) -> str:
    """Compile one source and return the output of ptxas."""
    torch = torch_info.find()
    if torch is None:
        raise SystemExit(f"kernel_report: needs {torch_info.requirement()} for its headers")
    target = "0x{:02x}{:02x}000000000000".format(*torch_info.major_minor(torch_info.requirement()))
    command = ["nvcc", "-std=c++17", "-O3", f"-arch=sm_{architecture}", "-cubin", "-Xptxas=-v"]
    command += ["-DUSE_CUDA", f"-DTORCH_TARGET_VERSION={target}", f"-I{ROOT / 'csrc'}"]
    command += ["-isystem", str(torch.root / "include"), "-o", str(cubin), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"kernel_report: {source} does not compile: {done.stderr}")
    return done.stderr


def readable(symbols: list[str]) -> list[tuple[str, str, str]]:
    """Family, kernel and template arguments of each symbol."""
    text = subprocess.run(
        ["c++filt", *symbols], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = [NAME.search(line) for line in text]
    names = [m.groups() if m else (None, line, None) for m, line in zip(found, text, strict=True)]
    return [(family or "common", kernel, (of or "").split(",")[0]) for family, kernel, of in names]


def occupancy(row: dict[str, Any]) -> float:
    """The share of the warps that fit; a warp is given registers in multiples of 256."""
    per_block = BLOCK_THREADS // 32
    per_warp = -(-row["registers"] * 32 // 256) * 256
    by_registers = REGISTERS // per_warp // per_block
    shared = SHARED_KIB[row["architecture"]] * 1024
    by_shared = shared // (row["shared"] + RESERVED_SHARED)
    return min(by_registers, by_shared, WARPS // per_block, BLOCKS) * per_block / WARPS


def instructions(cubin: Path) -> dict[str, dict[str, int]]:
    """The number of instructions of each kind by kernel symbol; empty without nvdisasm."""
    if not shutil.which("nvdisasm"):
        return {}
    text = subprocess.run(
        ["nvdisasm", "-c", str(cubin)], capture_output=True, text=True, check=True
    ).stdout
    parts = re.split(r"^\.text\.(\w+):$", text, flags=re.MULTILINE)
    return {
        symbol: {kind: len(re.findall(pattern, body)) for kind, pattern in INSTRUCTIONS.items()}
        for symbol, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def rows_of(source: Path, architecture: str, folder: Path) -> list[dict[str, Any]]:
    cubin = folder / f"{source.stem}.cubin"
    parts = re.split(r"Compiling entry function '(\w+)'", compiled(source, architecture, cubin))
    symbols, sass = parts[1::2], instructions(cubin)
    rows = []
    for symbol, name, text in zip(symbols, readable(symbols), parts[2::2], strict=True):
        row: dict[str, Any] = dict(zip(("family", "kernel", "of"), name, strict=True))
        row["architecture"] = architecture
        for field, pattern in FIELDS.items():
            found = re.search(pattern, text)
            row[field] = int(found[1]) if found else 0
        rows.append(row | {"occupancy": occupancy(row)} | sass.get(symbol, {}))
    return rows


def without_repeats(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Remove duplicates: a kernel in a header is compiled with every source that includes it."""
    return [json.loads(text) for text in sorted({json.dumps(row) for row in rows})]


def show(rows: list[dict[str, Any]]) -> None:
    names = list(rows[0])
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
    for row in rows:
        print("| " + " | ".join(str(row.get(name, "")) for name in names) + " |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--architectures", nargs="+", choices=sorted(SHARED_KIB), default=["90"])
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for architecture in args.architectures:
            for source in sorted(ROOT.glob("csrc/*/*_cuda.cu")):
                rows += rows_of(source, architecture, Path(folder))
    rows = without_repeats(rows)
    show(rows)
    if args.json:
        version = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True)
        release = re.search(r"release (\S+),", version.stdout)
        facts = {"nvcc": release[1] if release else "?", "date": time.strftime("%Y-%m-%d")}
        facts["command"] = " ".join(["python tools/kernel_report.py", *sys.argv[1:]])
        args.json.write_text(json.dumps({"compiler": facts, "rows": rows}, indent=1) + "\n")
    spilling = [f"{r['family']}::{r['kernel']}" for r in rows if r["spilled"]]
    print(f"\n{len(rows)} kernels, spilling: {', '.join(spilling) or 'none'}")
    return 1 if spilling else 0


if __name__ == "__main__":
    sys.exit(main())
