"""Finds wording that readers have to read twice, in pages, docstrings, comments and strings.

    python tools/check_prose.py           # exit status 1 and one line for each hit
    python tools/check_prose.py FILE...

The list is short on purpose: each entry was common here and is hard to understand for a reader who
knows the field but not this project. The second column is what to write.
"""

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
BANNED = {
    r"\b(that|which) (is|are) none\b": "an invalid value, or: missing",
    r"\bwhat came\b": "the value received",
    r"\b(is|are) nobody\b|\bnobody('s)?\b": "a distractor, junk, or: no identity",
    r"\b(is|are|was|were|be|not) (told|said)\b": "say who prints, raises or documents it",
    r"\brefused? by name\b|\bby (its|their) names?\b": "raises an error that names …",
    r"\bmade-up\b|\bembedded (people|data|dataset|data set|pedestrians)\b": "synthetic",
    r"\b(drawn|drawing|draws) (the )?(people|persons|pedestrians)\b": "the synthetic dataset",
    r"\bas (it|they) lies?\b": "unchanged",
    r"\b(is|are) no such\b": "is not a …",
    r"\bdata says? no\b": "the check failed",
    r"\bthe numbers of one\b": "identical to one process",
    r"\bbecame of\b": "how reid_ext handles …",
    r"\btroubles?\b": "problem",
    r"\bmust come with\b": "is required when …",
    r"\bgot (?-i:none)\b": "got None, or: is missing",
    r"\bNone has\b:": "if no …",
    r"\bso long as\b": "while, or: if",
    r"\bwhoever\b|\bwhatever\b|\bwherever\b": "name the thing",
    r"\bone (writes|reads|has|calls|gets|takes|wants)\b": "name who does it",
    r"\b(drawn|drawn? each|weighed|all) alike\b": "equally, or: in the same way",
}
SUFFIXES = (".py", ".md", ".h", ".cpp", ".cu", ".cuh", ".sh", ".toml", ".yml", ".js")
SKIPPED = ("tools/check_prose.py", "python_tests/docs/test_prose.py")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
C_TEXT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"', re.DOTALL)


class Hit(NamedTuple):
    line: int
    text: str
    advice: str


def passages(name: str, text: str) -> Iterator[tuple[int, str]]:
    """The texts for readers with their first lines: all of a page, comments and strings of code."""
    if name.endswith(".py"):
        yield from _of_python(text)
    elif name.endswith((".h", ".cpp", ".cu", ".cuh", ".js")):
        for found in C_TEXT.finditer(text):
            yield text.count("\n", 0, found.start()) + 1, found.group()
    elif name.endswith(".md"):
        yield 1, FENCE.sub(lambda found: "\n" * found.group().count("\n"), text)
    else:
        yield 1, text


def _of_python(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.lineno, node.name.replace("_", " ")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def hits(name: str, text: str) -> list[Hit]:
    """The banned constructions of a file; a line break within one counts as a space."""
    found = set()
    for first, passage in passages(name, text):
        for pattern, advice in BANNED.items():
            for match in re.finditer(pattern.replace(" ", r"\s+(?:[#/*]+\s*)?"), passage, re.I):
                line = first + passage.count("\n", 0, match.start())
                found.add(Hit(line, " ".join(match.group().split()), advice))
    return sorted(found)


def files() -> Iterator[Path]:
    """Every file of the project that holds text for readers."""
    folders = ("reid_ext", "csrc", "docs", "examples", "benchmarks", "tools", "python_tests")
    yield from sorted(ROOT.glob("*.md"))
    yield from (ROOT / "setup.py", ROOT / "pyproject.toml", ROOT / "reid_ext_command.py")
    for folder in folders:
        yield from (p for p in sorted((ROOT / folder).rglob("*")) if p.suffix in SUFFIXES)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="*", type=Path, help="default: every file of the project")
    total = 0
    for path in parser.parse_args().file or files():
        name = path.resolve().relative_to(ROOT).as_posix()
        if name in SKIPPED:
            continue
        for hit in hits(name, path.read_text()):
            print(f'{name}:{hit.line}: "{hit.text}"; write: {hit.advice}')
            total += 1
    if total:
        sys.exit(f"check_prose: {total} constructions to reword")
    print("check_prose: nothing to reword")


if __name__ == "__main__":
    main()
