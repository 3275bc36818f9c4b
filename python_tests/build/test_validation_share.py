"""The share of the package that checks arguments, and that one module does it."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST = 0.09  # largest share of the code lines of the package
ONCE = {"METRICS": "ops/_contract.py"}
NOWHERE = {"check_choice", "check_number", "check_numbers"}


def counter():
    spec = importlib.util.spec_from_file_location("count", ROOT / "tools" / "count_validation.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def counts():
    return counter().count()


def test_validation_is_a_small_share_of_the_package(counts):
    code, validation = (sum(values) for values in zip(*counts.values(), strict=True))
    assert validation / code <= MOST


@pytest.mark.parametrize(
    "text, lines",
    [
        ("def f(a):\n    if a:\n        raise ValueError(a)\n    return a\n", {2, 3}),
        ("if a:\n    raise ValueError\nelse:\n    b = 1\n", {1, 2}),
        ("if a:\n    raise KeyError\n", set()),
        ("if a:\n    got = b\n    raise m.ArgumentError(got)\n", {1, 2, 3}),
        ("for a in b:\n    check_a(a)\nx = check_a(b)\n", {1, 2}),
        ("def check_a(a):\n    return a\n", set()),
        ("def check_a(a):\n    if a:\n        raise ValueError\n    return a\n", {1, 2, 3, 4}),
        ("from reid_ext._runtime.arguments import flag\nflag(a)\nx = flag(a)\n", {2}),
        ("try:\n    a = 1\nexcept KeyError as e:\n    raise ValueError(e) from e\n", {3, 4}),
    ],
)
def test_counter_finds_validation(text, lines):
    assert counter().validation_lines(ast.parse(text)) == lines


def test_counter_ignores_comments_and_docstrings():
    text = '"""Doc."""\n\n# comment\na = (\n    1,  # one\n)\n'
    text += 'def f():\n    """Doc\n    more."""\n    b = 1\n'
    assert counter().code_lines(text, ast.parse(text)) == {4, 5, 6, 7, 10}


def defined(path):
    """The names that a module defines at the top level."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def test_choices_and_metrics_are_defined_once():
    package = ROOT / "reid_ext"
    found = [
        (name, path.relative_to(package).as_posix())
        for path in sorted(package.rglob("*.py"))
        for name in defined(path)
        if name in ONCE or name in NOWHERE
    ]
    assert found == list(ONCE.items())
