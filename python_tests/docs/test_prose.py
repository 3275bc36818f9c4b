"""tools/check_prose.py finds every banned construction in each kind of text, and nothing else."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = (
    "a seed that is none",
    "an error with what came",
    "the distractors are nobody",
    "the order is not said",
    "the argument is refused by name",
    "a set of made-up identities",
    "a demo that draws the people",
    "the list as it lies",
    "remove what is no such file",
    "the data says no",
    "the result has the numbers of one process",
    "the page on what became of them",
    "a list of troubles",
    "a key must come with a label",
    "the call got none",
    "None has: the loss is 0",
    "keep it so long as there is room",
    "whoever calls it",
    "in plain PyTorch one writes a sort",
    "every key is drawn alike",
)
CLEAN = "Invalid arguments raise an error that names the argument and the value received."


def load_tool():
    path = ROOT / "tools" / "check_prose.py"
    spec = importlib.util.spec_from_file_location("check_prose", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOOL = load_tool()


def as_markdown(text):
    return f"# Title\n\n{text}\n"


def as_docstring(text):
    return f'def f():\n    x = 1\n\ndef g():\n    """{text}"""\n'


def as_comment(text):
    return f"x = 1\n# {text}\n"


def as_cpp_comment(text):
    return f"int x;\n// {text}\nint y;\n"


KINDS = {
    "page.md": as_markdown,
    "docstring.py": as_docstring,
    "comment.py": as_comment,
    "source.cpp": as_cpp_comment,
    "header.h": as_cpp_comment,
}


def test_examples_cover_every_banned_construction():
    found = {hit.advice for text in EXAMPLES for hit in TOOL.hits("page.md", text)}
    assert found == set(TOOL.BANNED.values())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("text", EXAMPLES)
def test_check_prose_finds_construction(text, name):
    assert TOOL.hits(name, KINDS[name](text))


@pytest.mark.parametrize("name", KINDS)
def test_check_prose_accepts_clean_text(name):
    assert TOOL.hits(name, KINDS[name](CLEAN)) == []


@pytest.mark.parametrize(
    "name, line", [("page.md", 3), ("docstring.py", 5), ("comment.py", 2), ("source.cpp", 2)]
)
def test_check_prose_reports_the_line(name, line):
    assert [hit.line for hit in TOOL.hits(name, KINDS[name](EXAMPLES[0]))] == [line]


def test_check_prose_finds_construction_in_test_name():
    hits = TOOL.hits("test_a.py", "x = 1\n\n\ndef test_seed_that_is_none_raises():\n    pass\n")
    assert [(hit.line, hit.text) for hit in hits] == [(4, "that is none")]


def test_check_prose_ignores_names_of_other_functions():
    assert TOOL.hits("a.py", "def seed_that_is_none():\n    pass\n") == []


def test_check_prose_finds_construction_across_lines():
    assert TOOL.hits("page.md", "a seed that\nis none\n")
    assert TOOL.hits("source.cpp", "/* a seed that\n * is none */\n")
    assert TOOL.hits("a.py", '"""A seed that\n    is none."""\n')


@pytest.mark.parametrize("fence", ["```", "```python"])
def test_check_prose_ignores_code_fences(fence):
    page = f"{CLEAN}\n\n{fence}\n{EXAMPLES[0]}\n```\n\n{CLEAN}\n"
    assert TOOL.hits("page.md", page) == []
    assert [hit.line for hit in TOOL.hits("page.md", page + EXAMPLES[0])] == [8]
