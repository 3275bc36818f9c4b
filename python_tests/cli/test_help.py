"""`--help` of every command and training script, on a terminal of 80 columns and 24 lines."""

import argparse
import ast
import re
import shlex
from pathlib import Path

import pytest

from reid_ext import cli
from reid_ext.training import command_line
from reid_ext.training.options import GROUPS
from reid_ext.training.setups import SETUPS

EXAMPLES = Path(__file__).parents[2] / "examples"
COLUMNS, LINES = 80, 24


def commands(parser):
    """The parser and the parsers of all its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from commands(inner)


def training_script(path):
    """The parser of a training script, which ends with command_line.main(__doc__, DATASET)."""
    tree = ast.parse(path.read_text())
    (dataset,) = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)} & SETUPS.keys()
    parser = command_line._parser(ast.get_docstring(tree, clean=False), SETUPS[dataset])
    parser.prog = path.name
    return parser


PARSERS = [
    *commands(cli._parser()),
    *map(training_script, sorted(EXAMPLES.glob("train_*.py"))),
]


@pytest.fixture(params=PARSERS, ids=lambda parser: parser.prog)
def parser(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    return request.param


def test_help_fits_the_screen_in_each_group(parser):
    text = parser.format_help()
    assert max(map(len, text.splitlines())) <= COLUMNS
    assert max(len(part.splitlines()) for part in text.split("\n\n")) <= LINES
    assert len((parser.description or "").splitlines()) <= LINES


def test_help_shows_every_default(parser):
    for action in parser._actions:
        one_way = action.nargs == 0 and not isinstance(action, argparse.BooleanOptionalAction)
        if not action.option_strings or one_way:  # positional, or a switch such as --json
            continue
        assert re.search(r"\((default: .+|required)\)$", action.help), action.option_strings


def test_help_texts_are_one_phrase(parser):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = [choice.help for choice in action._choices_actions]
        else:
            texts = [action.help]
        for text in texts:
            assert (text and not text[0].isupper()) or text.startswith(("TOML", "HTML")), text
            assert not re.search(r"[.;]$|[;.] ", text), text


def test_help_has_groups(parser):
    """All flags but --help, --version and --config are in a group of their topic."""
    general = {"help", "version", "config"}
    for group in parser._action_groups:
        shown = {action.dest for action in group._group_actions}
        if group.title in ("options", "optional arguments", "positional arguments"):
            assert shown <= general
        elif group.title != "commands":
            assert shown and group.title.partition(",")[0] in GROUPS


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("train_*.py")), ids=lambda path: path.stem)
def test_script_examples_parse(path):
    """The command lines in the docstring of a training script are valid."""
    text = ast.get_docstring(ast.parse(path.read_text()))
    lines = re.findall(rf"^    python examples/{path.name}(.*)$", text, re.M)
    assert lines
    for line in lines:
        assert command_line.parse("", dataset_of(path), shlex.split(line, comments=True))


def dataset_of(path):
    return next(name for name in SETUPS if f'"{name}")' in path.read_text())
