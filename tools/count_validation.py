"""Counts how much of the Python code of the package validates arguments and input.

    python tools/count_validation.py [FOLDER]        default FOLDER: reid_ext beside this folder

Prints the code lines of each package, the number of validation lines, and their share. Blank
lines, comments and docstrings are not code lines. A line is validation if it is part of

- a ``raise`` of an error in ``ERRORS``, with the ``if`` or ``except`` whose body ends in it, and a
  ``for`` that contains nothing else; an ``else`` that does other work is not validation;
- a statement that only calls a check: a function named ``check…``, ``refuse…`` or ``require…``,
  optionally with a leading underscore, or a function imported from ``_runtime/arguments.py``;
- a function that only validates: one named ``check…``, ``refuse…`` or ``require…`` that raises
  these errors itself, or any function of ``_runtime/arguments.py``.
"""

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from pathlib import Path

ERRORS = {"ValueError", "TypeError", "RuntimeError", "ArgumentError", "WrongUse"}
CHECK = re.compile(r"_?(check|refuse|require)")
ARGUMENTS = "_runtime/arguments.py"
PACKAGE = Path(__file__).parents[1] / "reid_ext"
_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_lines(text: str, tree: ast.Module) -> set[int]:
    """The line numbers of the code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE and token.type != tokenize.ENDMARKER:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            lines -= _lines_of(node.body[0])
    return lines


def validation_lines(tree: ast.Module, *, of_arguments: bool = False) -> set[int]:
    """The line numbers of validation; ``of_arguments`` says that this is the argument module."""
    readers = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("_runtime.arguments")
        for alias in node.names
    }
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            if of_arguments or (CHECK.match(node.name) and _raises(node)):
                lines |= _lines_of(node)
        elif isinstance(node, ast.stmt) and _validates(node, readers):
            lines |= _lines_of(node)
        elif isinstance(node, ast.If | ast.ExceptHandler) and _ends_in_raise(node.body, readers):
            lines |= set(range(node.lineno, _end(node.body[-1]) + 1))
    return lines


def _raises(function: ast.FunctionDef) -> bool:
    return any(isinstance(n, ast.Raise) and _validates(n, set()) for n in ast.walk(function))


def _validates(node: ast.stmt, readers: set[str]) -> bool:
    """Whether the entire statement is validation."""
    if isinstance(node, ast.Raise) and node.exc is not None:
        return _name(node.exc) in ERRORS
    if isinstance(node, ast.If):
        return _ends_in_raise(node.body, readers) and all(
            _validates(s, readers) for s in node.orelse
        )
    if isinstance(node, ast.For):
        return all(_validates(statement, readers) for statement in node.body)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        name = _name(node.value)
        return name in readers or CHECK.match(name) is not None
    return False


def _ends_in_raise(body: list[ast.stmt], readers: set[str]) -> bool:
    """Whether a branch ends in raising an error, or only calls checks."""
    return (isinstance(body[-1], ast.Raise) and _validates(body[-1], readers)) or all(
        _validates(statement, readers) for statement in body
    )


def _name(node: ast.expr) -> str:
    """The last part of the dotted name that is called or raised."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _lines_of(node: ast.stmt) -> set[int]:
    return set(range(node.lineno, _end(node) + 1))


def count(folder: Path = PACKAGE) -> dict[str, tuple[int, int]]:
    """Code lines and validation lines of each package; ``"total"`` has their sums."""
    code: Counter[str] = Counter()
    validation: Counter[str] = Counter()
    for path in sorted(folder.rglob("*.py")):
        relative = path.relative_to(folder)
        package = relative.parts[0] if len(relative.parts) > 1 else "reid_ext"
        text = path.read_text()
        tree = ast.parse(text)
        lines = code_lines(text, tree)
        found = validation_lines(tree, of_arguments=relative.as_posix() == ARGUMENTS)
        for name in (package, "total"):
            code[name] += len(lines)
            validation[name] += len(lines & found)
    return {name: (code[name], validation[name]) for name in sorted(code, key=_total_last)}


def _total_last(name: str) -> tuple[bool, str]:
    return name == "total", name


if __name__ == "__main__":
    print(f"{'package':14} {'code':>6} {'validation':>11} {'share':>7}")
    for name, (code, validation) in count(*map(Path, sys.argv[1:2])).items():
        print(f"{name:14} {code:6} {validation:11} {validation / max(code, 1):7.1%}")
