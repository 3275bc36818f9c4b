"""Translates the CUDA sources to C++ for the emulated device and keeps the line numbers.

    python translate.py <folder to write> <source or folder of sources>...

A launch ``kernel<<<grid, block, shared, stream>>>(arguments)`` becomes a lambda that every thread
calls. A ``__shared__`` variable becomes a reference to memory of the block. The ops are registered
for CPU tensors in a separate library, ``reid_ext_emulated``, beside the CPU kernels.
"""

import re
import sys
from pathlib import Path

LAUNCH = re.compile(r"(?P<kernel>\w+(?:<\w+>)?)\s*<<<(?P<config>.*?)>>>\s*\(", re.DOTALL)
SHARED = re.compile(r"__shared__ (?P<type>[\w<>]+) (?P<name>\w+)(?P<extent>\[[^\]]+\])?;")
KERNEL = re.compile(r"(__global__ void (?P<name>\w+)\([^{;]*\)) \{")
MOST_BLOCKS = "constexpr int64_t kMaxBlocks = 0x7fffffff;"


def end_of_call(text: str, start: int) -> int:
    """The position that closes the parenthesis opened before ``start``."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise ValueError(
        f"translate: a launch has no closing parenthesis: {text[start - 40 : start]!r}"
    )


def translated_launches(text: str) -> str:
    while found := LAUNCH.search(text):
        end = end_of_call(text, found.end())
        call = f"{found['kernel']}({text[found.end() : end]})"
        launch = f"emulated::launch({{{found['config']}}}, [&] {{ {call}; }})"
        missing = text.count("\n", found.start(), end) - launch.count("\n")
        text = text[: found.start()] + launch + "\n" * missing + text[end + 1 :]
    return text


def translated(text: str, name: str) -> str:
    text = SHARED.sub(r"auto& \g<name> = emulated::shared<\g<type>\g<extent>>([] {});", text)
    text = KERNEL.sub(rf'\1 {{ emulated::entered("{name}:\g<name>");', text)
    text = translated_launches(text)
    text = text.replace("LIBRARY_IMPL(reid_ext, CUDA", "LIBRARY_IMPL(reid_ext_emulated, CPU")
    text = text.replace(MOST_BLOCKS, "const int64_t kMaxBlocks = emulated::most_blocks();")
    for left in ("<<<", "__shared__", ", CUDA, m)"):
        if left in text:
            raise ValueError(f"translate: {name}: cannot translate {left}")
    return f'#line 1 "{name}"\n{text}'


def write(source: Path, name: Path, out: Path) -> None:
    suffix = ".cpp" if source.suffix == ".cu" else source.suffix
    target = (out / name).with_suffix(suffix)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = translated(source.read_text(), str(name))
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


def main(out: Path, *given: Path) -> None:
    for path in given:
        for source in sorted(path.rglob("*.cu*")) if path.is_dir() else [path]:
            name = source.relative_to(path) if path.is_dir() else Path(source.name)
            write(source, name, out)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
